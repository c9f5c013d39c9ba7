"""A right that is taken away while its owner is on the way in: he hears nothing that comes after."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_core.testing.reading import DEADLINE

from ..backends.redis.conftest import program
from ..backends.redis.servers import Server
from ..support.app_server import SLOTS, AppServer
from ..support.raw_client import RawClient
from ..support.web_server import Pair

pytestmark = pytest.mark.slow

AT_ONCE: Final = 40
ROUNDS: Final = int(os.environ.get("TEST_REVOCATIONS", "200")) // AT_ONCE
"""TEST_REVOCATIONS=2000 asks for more of them than a run in CI."""
WINDOW: Final = 0.2
"""Seconds within which a client asks, its view takes its time, and its right is taken away."""
BELL: Final = 1.0
"""Seconds for the command to be heard in every process."""


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Server(program("valkey"), tmp_path_factory.mktemp("valkey")).start()
    yield server.url
    server.stop()


@pytest.fixture(params=["detached", "wsgi"])
def workers(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Iterator[AppServer]:
    (tmp_path / "rights").mkdir()
    settings: dict[str, Any] = {"STREAMY_BROKER_URL": redis_url, "RIGHTS": tmp_path / "rights", SLOTS: 1_000}
    pair = Pair("gthread", request.param, threads=AT_ONCE + 10)
    with AppServer(
        tmp_path / "log", pair, app=f"{__package__}.app:create_app()", settings=settings, workers=2
    ).start() as server:
        yield server


def received(client: RawClient) -> bytes:
    """All that has come, up to the close or now."""
    data = b""
    client._socket.settimeout(0.05)
    with suppress(TimeoutError, ConnectionResetError):
        while more := client._socket.recv(65_536):
            data += more
    return data


def test_no_event_that_comes_after_a_revocation_reaches_who_was_revoked(workers: AppServer) -> None:
    keys = (f"key-{number}" for number in range(ROUNDS * AT_ONCE))
    seen = 0
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        for number in range(ROUNDS):
            chosen = [next(keys) for _ in range(AT_ONCE)]
            with ExitStack() as to_close:
                opening = [pool.submit(_connect, workers, key) for key in chosen]
                for done in [pool.submit(_revoke, workers, key) for key in chosen]:
                    done.result(DEADLINE)
                clients = [to_close.enter_context(one.result(DEADLINE)) for one in opening]
                staying = to_close.enter_context(_connect(workers, f"staying-{number}"))
                time.sleep(BELL)
                workers.send("news", f"secret {number}")
                staying.read(1)
                leaked = [key for key, one in zip(chosen, clients, strict=True) if b"secret" in received(one)]
                assert not leaked, f"{len(leaked)} of {AT_ONCE} in round {number}: {leaked}"
                seen += len(clients)
    assert seen == ROUNDS * AT_ONCE


def _connect(workers: AppServer, key: str) -> RawClient:
    time.sleep(random.uniform(0, WINDOW))
    return workers.visit(f"/watch/{key}?pause={random.uniform(0, WINDOW / 2)}")


def _revoke(workers: AppServer, key: str) -> None:
    time.sleep(random.uniform(0, 2 * WINDOW))
    workers.ask(f"/revoke/{key}", method="POST")
