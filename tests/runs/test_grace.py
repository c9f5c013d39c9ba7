"""A deploy doesn't cut an answer: runs go on for a while when their worker is told to stop."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from ..support.app_server import AppServer
from ..support.process import wait_until_gone
from ..support.raw_client import RawClient

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

Start = Callable[..., AppServer]

_names = itertools.count()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """A server with these settings, which several tests have: its workers come and go."""
    started: dict[str, AppServer] = {}
    with ExitStack() as to_stop:

        def server(*options: str, **settings: object) -> AppServer:
            key = repr((options, settings))
            if key not in started:
                folder = tmp_path_factory.mktemp("runs")
                started[key] = to_stop.enter_context(
                    AppServer(
                        folder / "log",
                        app="tests.runs.app:create_app()",
                        workers=2,
                        options=("--graceful-timeout", "10", *options),
                        settings={
                            "STREAMY_BROKER_URL": f"sqlite:///{folder}/streams.db?create_tables=true",
                            "STREAMY_RECONNECT_DELAY": 0.05,
                            **settings,
                        },
                    ).start()
                )
            return started[key]

        yield server


@pytest.fixture
def chat() -> str:
    """The name of a run."""
    return f"chat-{next(_names)}"


def read_to_the_end(server: AppServer, name: str) -> tuple[str, str]:
    """All that a browser reads of a run, which comes back whenever it is sent away, and how it ended."""
    text, last = "", None
    over = time.monotonic() + 10
    while time.monotonic() < over:
        with RawClient(server.address, f"/run/{name}", last_event_id=last) as client:
            client.read_to_end()
            for message in client.messages:
                if message.name == "streamy.end":
                    return text, message.data
                text += message.data
            last = client.last_event_id or last
    raise AssertionError(f"no end of the run, after {text!r}")


def ended(name: str, outcome: str) -> str:
    return f'{{"stream": "{name}", "outcome": "{outcome}"}}'


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["", "preloaded"])
@pytest.mark.parametrize("way", ["sigterm", "reload"])
def test_a_run_goes_on_when_its_worker_is_told_to_stop_and_its_clients_read_on_elsewhere(
    start: Start, chat: str, way: str, options: tuple[str, ...]
) -> None:
    server = start(*options)
    holder = int(server.ask(f"/run/{chat}?count=20&pause=0.05", method="POST"))
    with RawClient(server.address, f"/run/{chat}") as client:
        client.until(lambda: client.messages, "the first token")
        if way == "reload":
            server.signal(signal.SIGHUP)
        else:
            os.kill(holder, signal.SIGTERM)
        text, end = read_to_the_end(server, chat)
    assert (text, end) == (
        "".join(f"{number} " for number in range(20)),
        ended(chat, "done"),
    )
    wait_until_gone(holder, 5)


def test_in_a_browser_an_answer_is_whole_in_a_tab_that_was_there_and_in_one_that_came_after_a_deploy(
    start: Start, chat: str, browser: Browser
) -> None:
    server = start()
    whole = "".join(f"{number} " for number in range(40))
    holder = int(server.ask(f"/run/{chat}?count=40&pause=0.05&coalesce=0.02", method="POST"))
    with closing(browser.new_context()) as context:
        tab, later = context.new_page(), context.new_page()
        tab.goto(f"http://127.0.0.1:{server.port}/page/{chat}")
        tab.wait_for_function("document.getElementById('text').textContent.length > 10")
        server.signal(signal.SIGHUP)
        later.goto(f"http://127.0.0.1:{server.port}/page/{chat}")
        for page in (tab, later):
            page.wait_for_selector("#end:text-is('done')")
            assert page.evaluate("document.getElementById('text').textContent") == whole
    wait_until_gone(holder, 5)


def test_what_is_not_done_by_then_is_lost_at_once(start: Start, chat: str) -> None:
    server = start(STREAMY_RUN_GRACE=0.3)
    holder = int(server.ask(f"/run/{chat}?count=10000&pause=0.05", method="POST"))
    time.sleep(0.2)
    os.kill(holder, signal.SIGTERM)
    began = time.monotonic()
    _, end = read_to_the_end(server, chat)
    assert end == ended(chat, "lost")
    assert time.monotonic() - began < 5, "nobody waits for the lease"
    wait_until_gone(holder, 5)


def test_what_is_not_done_by_then_may_go_on_elsewhere_and_its_readers_are_told_where(
    start: Start, chat: str
) -> None:
    server = start(STREAMY_RUN_GRACE=0.3)
    holder = int(server.ask(f"/run/{chat}?count=10000&pause=0.05&rest=1", method="POST"))
    server.signal(signal.SIGHUP)
    _, end = read_to_the_end(server, chat)
    assert json.loads(end) == {"stream": chat, "outcome": "lost", "resumed_on": f"{chat}-rest"}
    wait_until_gone(holder, 5)


def test_a_run_is_stopped_by_any_worker_also_while_its_own_is_about_to_stop(start: Start, chat: str) -> None:
    server = start()
    holder = int(server.ask(f"/run/{chat}?count=10000&pause=0.05", method="POST"))
    os.kill(holder, signal.SIGTERM)
    time.sleep(0.3)
    server.ask(f"/run/{chat}/stop", method="POST")
    _, end = read_to_the_end(server, chat)
    assert end == ended(chat, "stopped")
    wait_until_gone(holder, 5)


@pytest.mark.parametrize("delivery", ["detached", "wsgi"])
def test_a_client_of_two_runs_gets_both_and_how_each_ended(start: Start, delivery: str) -> None:
    server = start() if delivery == "detached" else start(STREAMY_DELIVERY=delivery)
    with server.connect("one", "two") as client:
        client.read_opening()
        for name in ("one", "two"):
            server.ask(f"/run/{name}?count=3&coalesce=0.01", method="POST")
        client.read_to_end()
    told = [(message.name, message.data) for message in client.messages if message.name == "streamy.end"]
    assert sorted(told) == [
        ("streamy.end", '{"stream": "one", "outcome": "done"}'),
        ("streamy.end", '{"stream": "two", "outcome": "done"}'),
    ]
    text = "".join(message.data for message in client.messages if message.name == "message")
    assert sorted(text.split()) == ["0", "0", "1", "1", "2", "2"]
    assert not [frame for frame in client.frames if frame.name in ("streamy.run", "streamy.gap")]


def test_clients_of_another_worker_are_told_that_a_killed_ones_run_is_lost(start: Start, chat: str) -> None:
    server = start()
    holder = int(server.ask(f"/run/{chat}?count=10000&pause=0.05&lease=2", method="POST"))
    with ExitStack() as to_close:
        others: list[RawClient] = []
        while not others:  # many at once, since the system chooses the worker
            clients = [to_close.enter_context(RawClient(server.address, f"/run/{chat}")) for _ in range(20)]
            for client in clients:
                client.read(1)
                if client.header("X-Worker") != [str(holder)]:
                    others.append(client)
        os.kill(holder, signal.SIGKILL)
        killed = time.monotonic()
        for client in others:
            client.read_to_end()
            assert client.messages[-1].data == ended(chat, "lost")
        assert time.monotonic() - killed < 2 + 1
