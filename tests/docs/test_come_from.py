"""The guides for those who come from other libraries: the app before and the app after, on real servers."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamy_core.testing.reading import eventually
from tests.backends.redis.servers import HOW_TO_GET, Server, binary

from ..support.requirements import go_without
from .conftest import EXAMPLES, Serve
from .reader import Reader, ask
from .uvicorn import Uvicorn

if TYPE_CHECKING:
    from playwright.sync_api import Page as BrowserPage

pytestmark = pytest.mark.slow

Read = Callable[..., Reader]

both = pytest.mark.parametrize("which", ["before", "after"])


@pytest.fixture
def read() -> Iterator[Read]:
    """Reads a URL's stream, with these headers."""
    with ExitStack() as to_close:
        yield lambda url, **headers: to_close.enter_context(
            Reader(url, {name.replace("_", "-"): value for name, value in headers.items()})
        )


def heard_of(reader: Reader, send: Callable[[], object]) -> list[tuple[str, str]]:
    """What a reader hears when it is sent until it has heard something: before that it isn't there yet."""

    def hears() -> bool:
        send()
        return bool(reader.heard)

    eventually(hears, "an event")
    return reader.heard


# -- flask-sse


@pytest.fixture
def redis_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """That of a server, which the examples find in the environment."""
    program = binary("redis") or binary("valkey") or go_without(f"no server: {HOW_TO_GET}")
    server = Server(program, tmp_path / "redis").start()
    monkeypatch.setenv("REDIS_URL", server.url)
    yield server.url
    server.stop()


def notify(address: str, text: str, channel: str = "news") -> None:
    """Send a notice, with an id that no other has."""
    ask(f"{address}/notices/{channel}", id=secrets.token_hex(8), text=text)


@pytest.mark.usefixtures("redis_url")
@both
def test_notices_reach_the_readers_of_their_channel(gunicorn: Serve, read: Read, which: str) -> None:
    address = gunicorn(f"come_from.flask_sse_{which}:app", workers=2)
    reader = read(f"{address}/stream?channel=news")
    heard = heard_of(reader, lambda: notify(address, "two\nlines"))
    kind, data = heard[0]
    assert (kind, json.loads(data)["text"]) == ("notice", "two\nlines")


@pytest.mark.usefixtures("redis_url")
@both
def test_a_channel_of_the_staffs_is_refused_to_others(gunicorn: Serve, read: Read, which: str) -> None:
    address = gunicorn(f"come_from.flask_sse_{which}:app")
    refused = read(f"{address}/stream?channel=staff")
    eventually(lambda: refused.status == 403, "a refusal")
    ann = read(f"{address}/stream?channel=staff", X_User="ann")
    assert heard_of(ann, lambda: notify(address, "hello", "staff"))


@pytest.mark.usefixtures("redis_url")
def test_a_channel_that_nobody_has_named_is_not_found(gunicorn: Serve, read: Read) -> None:
    address = gunicorn("come_from.flask_sse_after:app")
    refused = read(f"{address}/stream?channel=other")
    eventually(lambda: refused.status == 404, "a refusal")


@pytest.mark.usefixtures("redis_url")
def test_a_notice_with_an_id_of_its_own_is_stored_once_and_carries_it(gunicorn: Serve, read: Read) -> None:
    address = gunicorn("come_from.flask_sse_after:app")
    reader = read(f"{address}/stream?channel=news")
    eventually(lambda: reader.last_event_id, "the opening")
    for own_id in ("7", "7", "8"):
        ask(f"{address}/notices/news", id=own_id, text="hello")
    assert [data["id"] for _, data in reader.events(2)] == ["7", "8"]


@pytest.mark.usefixtures("redis_url")
@pytest.mark.parametrize(("which", "missed"), [("before", []), ("after", ["meanwhile"])])
def test_who_was_away_gets_what_was_sent_meanwhile_only_after(
    gunicorn: Serve, read: Read, which: str, missed: list[str]
) -> None:
    address = gunicorn(f"come_from.flask_sse_{which}:app")
    first = read(f"{address}/stream?channel=news")
    heard_of(first, lambda: notify(address, "first"))
    first.close()
    notify(address, "meanwhile")
    again = read(f"{address}/stream?channel=news", Last_Event_ID=first.last_event_id)
    heard_of(again, lambda: notify(address, "last"))
    texts = [json.loads(data)["text"] for _, data in again.heard]
    assert [text for text in texts if text == "meanwhile"] == missed


# -- a queue for each client


def test_a_queue_for_each_client_tells_the_state_and_each_change(gunicorn: Serve, read: Read) -> None:
    address = gunicorn("come_from.queue_before:app")
    reader = read(f"{address}/stream")
    assert reader.events(1) == [("score", {"home": 0, "guests": 0})]
    ask(f"{address}/goal", side="home")
    assert reader.events(2)[1] == ("score", {"home": 1, "guests": 0})


def test_a_score_is_told_with_the_cursor_that_its_changes_follow(gunicorn: Serve, read: Read) -> None:
    address = gunicorn("come_from.queue_after:app")
    ask(f"{address}/goal", side="home")
    current = json.loads(ask(f"{address}/score"))
    assert current["score"] == {"home": 1, "guests": 0}
    ask(f"{address}/goal", side="guests")  # before the page connects
    reader = read(f"{address}/stream?last_event_id={current['cursor']}")
    assert reader.events(1) == [("score", {"home": 1, "guests": 1})]
    ask(f"{address}/goal", side="home")
    assert reader.events(2)[1] == ("score", {"home": 2, "guests": 1})


@pytest.mark.parametrize(("which", "answers"), [("before", False), ("after", True)])
def test_clients_hold_every_thread_only_before(
    gunicorn: Serve, read: Read, which: str, answers: bool
) -> None:
    address = gunicorn(f"come_from.queue_{which}:app", threads=4)
    readers = [read(f"{address}/stream") for _ in range(4)]
    for reader in readers:
        eventually(lambda reader=reader: reader.status == 200, "a stream")
    assert read(f"{address}/other").answers_within(5.0 if answers else 1.0) is answers


# -- a generator


WORDS = ["You", "ask:", "why?"]


def test_a_generator_gives_the_words_and_says_when_it_is_done(gunicorn: Serve, read: Read) -> None:
    address = gunicorn("come_from.generator_before:app")
    words = read(f"{address}/answer?question=why?").events(4)
    assert [word for kind, word in words if kind == "word"][1:] == WORDS


def test_an_answer_has_a_stream_that_ends(gunicorn: Serve, read: Read) -> None:
    address = gunicorn("come_from.generator_after:app")
    stream = json.loads(ask(f"{address}/answers", question="why?"))["stream"]
    reader = read(address + stream)
    assert [word for _, word in reader.events(4)][1:] == WORDS
    eventually(lambda: reader.ended, "the close")
    again = read(address + stream, Last_Event_ID=reader.last_event_id)
    eventually(lambda: again.status == 204, "the end of it")


@pytest.mark.parametrize("which", ["before", "after"])
def test_who_comes_back_has_the_work_done_again_only_before(gunicorn: Serve, read: Read, which: str) -> None:
    address = gunicorn(f"come_from.generator_{which}:app")
    if which == "before":
        url = f"{address}/answer?question=why?"
    else:
        url = address + json.loads(ask(f"{address}/answers", question="why?"))["stream"]
    first, second = (read(url).events(4)[0][1] for _ in range(2))
    assert (first == second) is (which == "after")


# -- Flask-SocketIO


def test_socketio_emits_prices_to_those_who_follow(gunicorn: Serve) -> None:
    import socketio  # type: ignore[import-not-found]

    address = gunicorn("come_from.socketio_before:app", threads=10)
    heard: list[Any] = []
    with socketio.SimpleClient() as client:
        client.connect(address, transports=["polling"])
        client.emit("follow", "tea")

        def hears() -> bool:
            ask(f"{address}/prices/coffee", "PUT", price="2.00")
            ask(f"{address}/prices/tea", "PUT", price="3.00")
            with suppress(socketio.exceptions.TimeoutError):  # it hasn't joined yet
                heard.append(client.receive(timeout=1))
            return bool(heard)

        eventually(hears, "a price")
    assert heard == [["price", {"name": "tea", "price": "3.00"}]]


def test_a_page_shows_the_prices_that_it_follows(gunicorn: Serve, browser_page: BrowserPage) -> None:
    address = gunicorn("come_from.socketio_after:app")
    browser_page.goto(f"{address}/?name=tea&name=milk")
    browser_page.wait_for_selector("#state:text-is('connected')")
    for name in ("coffee", "tea", "milk"):
        ask(f"{address}/prices/{name}", "PUT", price="3.00")
    browser_page.wait_for_selector("li:text-is('milk: 3.00')")
    assert browser_page.locator("li").all_inner_texts() == ["tea: 3.00", "milk: 3.00"]


# -- sse-starlette and django-eventstream


@pytest.fixture
def uvicorn(tmp_path: Path) -> Iterator[Serve]:
    """Serves an example by uvicorn: its address."""
    with ExitStack() as to_stop:

        def serve(app: str) -> str:
            environment = {"PYTHONDONTWRITEBYTECODE": 1}
            server = Uvicorn(app, tmp_path / "log", cwd=EXAMPLES, environment=environment)
            return f"http://127.0.0.1:{to_stop.enter_context(server.start()).port}"

        yield serve


@pytest.mark.parametrize("library", ["sse_starlette", "django"])
def test_news_come_by_an_asgi_app(uvicorn: Serve, read: Read, library: str) -> None:
    address = uvicorn(f"come_from.{library}_before:app")
    reader = read(f"{address}/stream")
    heard = heard_of(reader, lambda: ask(f"{address}/send", "POST", b"hello"))
    assert (heard[-1][0], json.loads(heard[-1][1])) == ("news", {"text": "hello"})


def test_news_come_by_streamy_without_an_event_loop_in_the_app(gunicorn: Serve, read: Read) -> None:
    address = gunicorn("come_from.asgi_after:app")
    reader = read(f"{address}/stream")
    heard = heard_of(reader, lambda: ask(f"{address}/send", "POST", b"hello"))
    assert (heard[0][0], json.loads(heard[0][1])) == ("news", {"text": "hello"})


@both
def test_the_tests_of_an_app_pass_before_and_after(which: str) -> None:
    files = [f"test_{library}_{which}.py" for library in ("flask_sse", "socketio")]
    options = ("-p", "no:cacheprovider", "-c", os.devnull, "-q", *files)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=EXAMPLES / "come_from",
        env={**os.environ, "REDIS_URL": "memory://", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
