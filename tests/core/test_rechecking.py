"""Who is asked again about a client's right, as an app says it; and within which app."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response, current_app, g, has_request_context, request

from streamy_core import ConfigError, StreamManager
from streamy_core.errors import Closed
from streamy_core.rechecking import AppContext
from streamy_core.testing import EventClient, ManualClock
from streamy_core.testing.event_source import EventStream
from streamy_core.testing.reading import DEADLINE, eventually

from ..support.making import closed_in_the_end

EVERY = 15.0
BY_NAME = f"{__name__}:may_by_name"

asked_by_name: list[Any] = []


def may_by_name(key: str | None, streams: tuple[str, ...]) -> bool:
    asked_by_name.append((key, streams))
    return False


class Site:
    """An app whose view takes the arguments of `get_stream` from here, and its clients."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.app = Flask("site")
        self.app.config.from_mapping(STREAMY_CLOCK=self.clock, **settings)
        self.sse = StreamManager(self.app)
        self.arguments: dict[str, Any] = {}
        self.client = EventClient(self.app)

        @self.app.get("/stream/<key>")
        def stream(key: str) -> Response:
            return self.sse.get_stream(request.args.get("ids", "news").split(","), key=key, **self.arguments)

    def open(self, key: str) -> EventStream:
        return self.client.open(f"/stream/{key}")

    def look_again(self) -> None:
        with self.app.app_context():
            asker = self.sse.binding.delivery._rechecks._asker
        eventually(lambda: asker.due_at() is None, "all answers are there")
        self.clock.advance(EVERY)

    def send(self, data: str) -> None:
        with self.app.app_context():
            self.sse.send_event("news", data)

    def close(self) -> None:
        self.client.close()
        self.sse.close()


@pytest.fixture
def make_site() -> Iterator[Callable[..., Site]]:
    with closed_in_the_end(Site) as make:
        yield make


def only(*keys: str) -> Callable[[str | None, tuple[str, ...]], bool]:
    return lambda key, streams: key in keys


def test_a_client_whose_right_is_gone_is_sent_away_and_all_others_go_on(
    make_site: Callable[..., Site],
) -> None:
    members = {"ann", "bob"}
    site = make_site(STREAMY_RECHECK=lambda key, streams: key in members)
    ann, bob = site.open("ann"), site.open("bob")
    members.discard("ann")
    site.look_again()
    assert ann.read_to_end() == []
    assert ann.retry is not None
    site.send("for members")
    assert [event.data for event in bob.events(1)] == ["for members"]


def test_many_are_asked_about_by_one_call(make_site: Callable[..., Site]) -> None:
    calls: list[Any] = []

    def may(questions: list[tuple[str | None, tuple[str, ...]]]) -> list[bool]:
        calls.append(sorted(questions))
        return [key != "ann" for key, _ in questions]

    site = make_site(STREAMY_RECHECK_MANY=may)
    ann, bob = site.open("ann"), site.open("bob")
    site.look_again()
    ann.read_to_end()
    assert calls == [[("ann", ("news",)), ("bob", ("news",))]]
    site.send("to bob")
    assert [event.data for event in bob.events(1)] == ["to bob"]


def test_it_is_called_within_the_app_without_a_request_and_what_it_opens_is_closed(
    make_site: Callable[..., Site],
) -> None:
    seen: list[Any] = []

    def may(key: str | None, streams: tuple[str, ...]) -> bool:
        g.opened = key
        seen.append((current_app.name, has_request_context()))
        return False

    site = make_site(STREAMY_RECHECK=may)
    site.app.teardown_appcontext(lambda error: seen.append(g.pop("opened", None)) if "opened" in g else None)
    ann = site.open("ann")
    site.look_again()
    ann.read_to_end()
    assert seen == [("site", False), "ann"]


def test_a_setting_may_name_it(make_site: Callable[..., Site]) -> None:
    site = make_site(STREAMY_RECHECK=BY_NAME)
    ann = site.open("ann")
    site.look_again()
    ann.read_to_end()
    assert asked_by_name == [("ann", ("news",))]


@pytest.mark.parametrize("kind", ["recheck", "recheck_many"])
def test_the_view_s_own_wins_over_the_setting(make_site: Callable[..., Site], kind: str) -> None:
    own: dict[str, Any] = {
        "recheck": only("bob"),
        "recheck_many": lambda asked: [key == "bob" for key, _ in asked],
    }
    site = make_site(STREAMY_RECHECK=only("ann"))
    site.arguments[kind] = own[kind]
    ann, bob = site.open("ann"), site.open("bob")
    site.look_again()
    ann.read_to_end()
    site.send("to bob")
    assert len(bob.events(1)) == 1


def test_a_view_may_have_nobody_asked(make_site: Callable[..., Site]) -> None:
    site = make_site(STREAMY_RECHECK=only())
    ann = site.open("ann")
    site.arguments["recheck"] = False
    bob = site.open("bob")
    site.look_again()
    ann.read_to_end()
    site.send("to bob")
    assert len(bob.events(1)) == 1


def test_one_that_hangs_holds_up_nobody_s_events(make_site: Callable[..., Site]) -> None:
    hanging, begun = threading.Event(), threading.Event()

    def hang(key: str | None, streams: tuple[str, ...]) -> bool:
        begun.set()
        return hanging.wait(DEADLINE)

    site = make_site(STREAMY_RECHECK=hang)
    ann = site.open("ann")
    site.arguments["recheck"] = False
    bob = site.open("bob")
    site.look_again()
    assert begun.wait(DEADLINE)
    site.send("meanwhile")
    for stream in (ann, bob):
        assert [event.data for event in stream.events(1)] == ["meanwhile"]
    site.clock.advance(5.0)
    ann.read_to_end()
    site.send("later")
    assert [event.data for event in bob.events(1)] == ["later"]
    hanging.set()


async def awaited(key: str | None, streams: tuple[str, ...]) -> bool:
    return True


class Awaited:
    async def __call__(self, key: str | None, streams: tuple[str, ...]) -> bool:
        return True


@pytest.mark.parametrize("given", [True, "news", 1, StreamManager, awaited, Awaited()])
@pytest.mark.parametrize("kind", ["recheck", "recheck_many"])
def test_what_can_t_be_called_is_refused_at_once(kind: str, given: Any) -> None:
    sse = StreamManager()
    with pytest.raises(ValueError, match=rf"^{kind} has to be a function of .* not async, not "):
        sse.get_stream("news", **{kind: given})
    if not isinstance(given, str):
        with pytest.raises(ConfigError, match=f"argument {kind} of StreamManager has to be a function of "):
            StreamManager(Flask("site"), **{kind: given})
    sse.close()


def test_both_ways_to_ask_the_same_are_refused() -> None:
    with StreamManager() as sse, pytest.raises(ValueError, match="recheck and recheck_many are two ways"):
        sse.get_stream("news", recheck=only(), recheck_many=lambda asked: [])
    app = Flask("site")
    app.config.from_mapping(STREAMY_RECHECK=only(), STREAMY_RECHECK_MANY=only())
    with pytest.raises(ConfigError, match="STREAMY_RECHECK and STREAMY_RECHECK_MANY are both set"):
        StreamManager(app)


def test_a_name_that_is_none_is_refused_at_start() -> None:
    app = Flask("site")
    app.config["STREAMY_RECHECK"] = f"{__name__}:nothing"
    with pytest.raises(ConfigError, match=r"STREAMY_RECHECK: .*can't be loaded"):
        StreamManager(app)


def test_an_app_is_not_kept_alive_by_it() -> None:
    app = Flask("site")
    gone, context, again = weakref.ref(app), AppContext(app), AppContext(app)
    assert context == again
    assert context != AppContext(Flask("another"))
    del app
    gc.collect()
    assert gone() is None
    assert (context == again, hash(context)) == (True, hash(again))
    with pytest.raises(Closed):
        context()
