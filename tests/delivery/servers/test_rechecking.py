"""A right that is taken away is noticed by every worker by itself, and a look that hangs harms nobody."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_core.testing.reading import DEADLINE, eventually

from ...support import rights
from ...support.app_server import SLOTS
from ...support.raw_client import RawClient
from ...support.workers import Workers

pytestmark = pytest.mark.slow

EVERY: Final = 1.0
"""Seconds; the setting's own are fifteen."""


@pytest.fixture(params=["detached", "wsgi"])
def workers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workers]:
    (tmp_path / "rights").mkdir()
    settings: dict[str, Any] = {
        "RIGHTS": tmp_path / "rights",
        "STREAMY_DELIVERY": request.param,
        "STREAMY_RECHECK_MANY": f"{rights.__name__}:{rights.may_read_many.__name__}",
        "STREAMY_RECHECK_EVERY": EVERY,
        "STREAMY_RECHECK_TIMEOUT": 0.2,
        "STREAMY_RECHECK_FAILURE": "keep",
        SLOTS: 3,
    }
    url = f"sqlite:///{tmp_path}/streams.db"
    with Workers(tmp_path / "log", url, settings).start() as server:
        yield server


def test_who_may_not_read_any_more_is_sent_away_and_a_look_that_hangs_holds_up_nobody(
    workers: Workers, tmp_path: Path
) -> None:
    folder = tmp_path / "rights"
    with ExitStack() as to_close:

        def come(key: str) -> list[RawClient]:
            clients = [workers.client_of(pid, "news", key=key) for pid in workers.pids]
            return [to_close.enter_context(client) for client in clients]

        ann, bob = come("ann"), come("bob")
        (folder / "ann").touch()
        removed = time.monotonic()
        for client in ann:
            client.read_to_end()
            assert client.last_frame.retry is not None
        took = time.monotonic() - removed
        assert took < 3 * EVERY, f"it took {took:.2f} s"
        (folder / "hang").touch()
        hanging = [folder / f"hangs in {pid}" for pid in workers.pids]
        eventually(lambda: all(path.exists() for path in hanging), "it hangs in every worker")
        for number in range(10):
            sent = time.monotonic()
            workers.send("news", str(number))
            for client in bob:
                assert client.read(number + 1)[-1].data == str(number)
            assert time.monotonic() - sent < DEADLINE / 5
            time.sleep(0.1)  # some of them before, and some after it is given up
