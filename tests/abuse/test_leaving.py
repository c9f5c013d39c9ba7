"""Who has left holds nothing: no slot, no thread, no descriptor, though no keep-alive is due."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

import pytest

from streamy_core.testing.reading import eventually

from ..support.web_server import Pair
from .conftest import WORKERS, NewWorker

pytestmark = pytest.mark.slow

CLIENTS: Final = 8
THREADED: Final = tuple(pair for pair in WORKERS if pair.delivery == "wsgi" and pair.threads > 1)


@pytest.mark.parametrize("leave", ["close", "reset"])
@pytest.mark.parametrize("pair", THREADED, ids=str)
def test_a_client_that_has_left_gives_its_slot_back_long_before_a_keep_alive(
    new_worker: NewWorker, pair: Pair, leave: str
) -> None:
    worker = new_worker(pair, wsgi_slots=CLIENTS // 4, keep_alive=3600)
    for _ in range(4):
        with ExitStack() as opened:
            clients = [opened.enter_context(worker.connect("news")) for _ in range(CLIENTS // 4)]
            for client in clients:
                client.read_opening()
            assert worker.stats().clients == CLIENTS // 4
            for client in clients:
                getattr(client, leave)()
        eventually(lambda: worker.stats().clients == 0, "their slots")


@pytest.mark.parametrize("pair", THREADED, ids=str)
def test_a_flood_of_clients_that_have_left_leaves_no_threads(new_worker: NewWorker, pair: Pair) -> None:
    worker = new_worker(pair, keep_alive=3600)
    base = worker.settled()
    for _ in range(300):
        worker.connect("news").close()
    worker.settles_to(base)
