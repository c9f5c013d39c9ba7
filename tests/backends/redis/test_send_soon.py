"""`send_soon` while a real Redis is away, loses replies or stands still."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_core import StreamHandler, StreamManager
from streamy_core.broker import Broker
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import data_of, eventually, read_all

from ...support.command import Command
from ...support.forks import forks, in_child, succeeds
from ...support.proxy import Proxy
from ...support.web_server import WebServer
from ..conftest import NewBroker, NewManager
from .conftest import OwnServer
from .servers import Server

pytestmark = pytest.mark.slow

HELD: Final = 0.005
"""Seconds that a call may hold whoever publishes."""

Run = Callable[..., Command]


@pytest.fixture
def server(own_server: OwnServer) -> Server:
    return own_server().start()


@pytest.fixture
def run(tmp_path: Path, server: Server, prefix: str) -> Iterator[Run]:
    """Runs the script: so many events to "news", and so many seconds at its exit."""
    with ExitStack() as to_close:

        def run(count: int, flush_timeout: float) -> Command:
            script = "tests.backends.promises.publish_soon"
            url = f"{server.url}?prefix={prefix}"
            args = [sys.executable, "-m", script, url, "news", str(count), str(flush_timeout)]
            return to_close.enter_context(closing(Command(args, tmp_path)))

        yield run


def kept(broker: Broker, name: str = "news") -> list[str]:
    return data_of(read_all(broker, name))


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def send(sse: StreamManager, count: int, name: str = "news") -> list[float]:
    """Send so many events; how many seconds each call took."""
    took = []
    for number in range(count):
        began = time.perf_counter()
        sse.send_soon(name, number)
        took.append(time.perf_counter() - began)
    return took


def empty(sse: StreamManager) -> None:
    eventually(lambda: sse.health.queued == 0, "an empty queue")


@pytest.mark.parametrize("how", ["dead", "silent"])
def test_nobody_is_held_while_redis_is_away_and_all_is_stored_in_order_when_it_is_back(
    server: Server, new_manager: NewManager, new_broker: NewBroker, how: str
) -> None:
    sse = new_manager(server.url, timeout=0.5)
    send(sse, 1, "warm-up")
    empty(sse)
    server.kill() if how == "dead" else server.pause()
    took = send(sse, 500)
    assert sorted(took)[-5] < HELD  # a busy machine may hold anybody now and then
    assert sse.health.queued == 500
    server.start() if how == "dead" else server.resume()
    empty(sse)
    assert kept(new_broker(server.url)) == numbers(500)
    assert sse.health.dropped == 0


@pytest.mark.parametrize("tears", [True, False], ids=["torn", "silent"])
def test_a_lost_reply_stores_nothing_twice(
    server: Server, new_manager: NewManager, new_broker: NewBroker, tears: bool
) -> None:
    with Proxy(("127.0.0.1", server.port)) as proxy:
        sse = new_manager(proxy.through(server.url), timeout=0.5)
        send(sse, 1)
        empty(sse)
        for number in range(1, 6):
            proxy.lose_reply(tears=tears)
            sse.send_soon("news", number)
            empty(sse)
            assert proxy.lost == number
        sse.close()
    assert kept(new_broker(server.url)) == numbers(6)


def test_closing_stores_what_waits_though_redis_comes_back_only_then(
    server: Server, new_broker: NewBroker, new_manager: NewManager
) -> None:
    sse = new_manager(server.url, retry=FixedDelay(0.1, retries=100))
    server.kill()
    send(sse, 50)
    server.start()
    sse.close()
    assert kept(new_broker(server.url)) == numbers(50)


def test_an_exit_stores_what_waits(server: Server, run: Run, new_broker: NewBroker) -> None:
    script = run(300, 5)
    script.wait_for_lines(1)
    script.stdin.close()
    assert script.wait() == 0
    assert kept(new_broker(server.url)) == numbers(300)


def test_an_exit_waits_for_a_redis_that_comes_back(server: Server, run: Run, new_broker: NewBroker) -> None:
    server.pause()
    script = run(20, 30)
    script.wait_for_lines(1)
    script.stdin.close()
    server.resume()
    assert script.wait() == 0
    assert kept(new_broker(server.url)) == numbers(20)


def test_an_exit_takes_no_longer_than_it_may_and_says_what_is_lost(server: Server, run: Run) -> None:
    server.kill()
    script = run(20, 0.5)
    script.wait_for_lines(1)
    began = time.monotonic()
    script.stdin.close()
    assert script.wait() == 0
    assert time.monotonic() - began < 5
    (said,) = script.lines[1:]
    assert said.startswith(
        "ERROR:streamy.outbox:events that send_soon took and that are lost: 20 (closed: 20)"
    )


@forks
def test_what_a_parent_queued_is_stored_by_the_parent_only(
    server: Server, new_manager: NewManager, new_broker: NewBroker
) -> None:
    sse = new_manager(server.url)
    server.pause()
    send(sse, 10, "parents")

    def child() -> None:
        assert sse.health.queued == 0
        send(sse, 10, "children")
        empty(sse)
        sse.close()
        assert sse.health.dropped == 0

    pid = in_child(child)
    server.resume()
    assert succeeds(pid)
    empty(sse)
    near = new_broker(server.url)
    assert [kept(near, "parents"), kept(near, "children")] == [numbers(10), numbers(10)]


@pytest.mark.parametrize("worker", ["gthread", "sync", "gevent"])
def test_a_gunicorn_worker_that_is_told_to_end_stores_what_waits(
    server: Server, new_broker: NewBroker, prefix: str, tmp_path: Path, worker: str
) -> None:
    settings: dict[str, Any] = {"STREAMY_BROKER_URL": f"{server.url}?prefix={prefix}"}
    app = "tests.backends.promises.soon_app:create_app()"
    with WebServer(app, tmp_path / "log", server=worker, environment=settings).start() as gunicorn:
        gunicorn.ask("/soon/news/1", method="POST")
        near = new_broker(server.url)
        eventually(lambda: kept(near) == numbers(1), "the first event")
        server.pause()
        gunicorn.ask("/soon/more/25", method="POST")
        gunicorn.signal(signal.SIGTERM)
        eventually(lambda: "Worker exiting" in gunicorn.log(), "the worker's exit")
        server.resume()
        gunicorn.wait()
        assert kept(near, "more") == numbers(25)


def test_a_handler_publishes_nothing_that_redis_py_logs_through_an_outage(
    server: Server, new_manager: NewManager, new_broker: NewBroker, caplog: pytest.LogCaptureFixture
) -> None:
    sse = new_manager(server.url, timeout=0.5)
    root, handler = logging.getLogger(), StreamHandler(sse, "log")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        logging.getLogger("shop").error("before")
        empty(sse)
        server.pause()
        logging.getLogger("shop").error("meanwhile")
        eventually(lambda: "could not write" in caplog.text, "an attempt that failed")
        server.resume()
        empty(sse)
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert kept(new_broker(server.url), "log") == ["before", "meanwhile"]
