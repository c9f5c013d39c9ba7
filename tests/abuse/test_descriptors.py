"""More connections than a process has descriptors: its worker lives, and its clients stay."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import pytest

from ..support.app_server import AppServer
from ..support.crowd import Crowd, Record
from ..support.web_server import Pair
from .conftest import backend

pytestmark = pytest.mark.slow

APP: Final = f"{__package__}.app:create_app()"
ALLOWED: Final = 1_024
CONNECTS: Final = 5_000
HONEST: Final = 10
ATTACK: Final = 2.0
"""Seconds."""


@contextmanager
def allowed(descriptors: int) -> Iterator[None]:
    """What is started meanwhile may open so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def flood(address: tuple[str, int], path: str) -> Iterator[None]:
    """Connections that ask as soon as they can, and are never read."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    socks = []
    request = f"GET {path} HTTP/1.1\r\nHost: rude\r\n\r\n".encode()
    try:
        for _ in range(CONNECTS):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            socks.append(sock)
        waiting = list(socks)
        end = time.monotonic() + ATTACK
        while waiting and time.monotonic() < end:
            waiting = [sock for sock in waiting if not _asked(sock, request)]
        yield
    finally:
        for sock in socks:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _asked(sock: socket.socket, request: bytes) -> bool:
    try:
        return sock.send(request) > 0
    except OSError:
        return False


@pytest.mark.parametrize("delivery", ["detached", "wsgi"])
@pytest.mark.parametrize("most", [None, 800, 400], ids=lambda most: f"at most {most}")
def test_a_worker_without_descriptors_left_lives_and_its_clients_stay(
    tmp_path: Path, delivery: str, most: int | None
) -> None:
    settings = {"STREAMY_MAX_CONNECTIONS": most, "STREAMY_RECONNECT_DELAY": 0.2, "STREAMY_WSGI_SLOTS": HONEST}
    pair = Pair("gthread", delivery, threads=HONEST + 4)
    record = Record()
    with allowed(ALLOWED):
        server = AppServer(tmp_path / "log", pair, settings=settings).start()
    with server, Crowd(server.address, server.path("live"), HONEST, record) as crowd:
        crowd.run_until_open()
        pids = server.children
        with flood(server.address, server.path("news")):
            attacked_until = time.monotonic() + ATTACK
            crowd.run_until(lambda: time.monotonic() > attacked_until, "the end of the attack")
        server.send("live", "after")
        crowd.run_until(lambda: all("after" in record.data(source) for source in crowd.sources), "the event")
        assert server.children == pids, "the worker has ended"
        assert [source.connections for source in crowd.sources] == [1] * HONEST
        with server.connect("live") as late:
            late.read_opening()
    if delivery == "detached":
        assert "Raise `ulimit -n`" in server.log()


@pytest.mark.parametrize("delivery", ["detached", "wsgi"])
@pytest.mark.parametrize("kind", ["memory", "sqlite", "valkey"])
def test_a_first_client_that_comes_while_no_descriptor_is_left_is_let_in_afterwards(
    tmp_path: Path, delivery: str, kind: str
) -> None:
    with ExitStack() as to_stop:
        settings = {
            "STREAMY_BROKER_URL": to_stop.enter_context(backend(kind, tmp_path)),
            "STREAMY_RECONNECT_DELAY": 0.2,
        }
        server = AppServer(tmp_path / "log", Pair("gthread", delivery), app=APP, settings=settings)
        with allowed(ALLOWED):
            to_stop.enter_context(server.start())
        connection = to_stop.enter_context(closing(server.connection()))
        connection.request("POST", f"/exhaust/{ATTACK}")
        assert connection.getresponse().read() == b"exhausted"
        connection.request("GET", server.path("news"))
        assert connection.getresponse().status == 200
        record = Record()
        crowd = to_stop.enter_context(Crowd(server.address, server.path("news"), HONEST, record))
        crowd.run_until_open()
        server.send("news", "after")
        crowd.run_until(lambda: all("after" in record.data(source) for source in crowd.sources), "the event")
