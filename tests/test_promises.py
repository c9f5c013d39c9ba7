"""The promises to the user, one by one: what makes Streamy Streamy, tested from the outside."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest
from flask import Flask, Response, render_template_string, request

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import (
    OPEN,
    BrokerUnavailable,
    ConfigError,
    InvalidEvent,
    PublishFailed,
    StreamEnded,
    StreamManager,
)
from streamy_core.signals import client_connected
from streamy_core.strategies import FixedDelay
from streamy_core.testing import EventClient, EventStream, FaultyBroker
from streamy_core.testing.event_stream import Dispatched, EventStreamParser, parse
from streamy_core.testing.reading import data_of, read_all

pytestmark = pytest.mark.streamy_broker("memory://?history=100")

SOON = FixedDelay(0.001, retries=3)

Connect = Callable[..., EventStream]


@pytest.fixture
def app() -> Flask:
    return Flask(__name__)


@pytest.fixture
def sse(app: Flask, streamy_broker: FaultyBroker) -> Iterator[StreamManager]:
    """The manager of an app that has a page for any streams."""
    with serving(app, StreamManager(app, broker=streamy_broker, retry=SOON, window_bytes=20_000)) as sse:
        yield sse


def serving(app: Flask, sse: StreamManager) -> StreamManager:
    """The manager, whose streams `/events?id=…` reads."""

    @app.get("/events")
    def events() -> Response:
        return sse.get_stream(request.args.getlist("id"), keep_alive_interval=5)

    return sse


def url(*names: str, query: str = "") -> str:
    return "/events?" + "&".join(f"id={name}" for name in names) + query


@pytest.fixture
def connect(sse: StreamManager, streamy_client: EventClient) -> Connect:
    """Connects a browser to these streams. after: the id that it comes back with. query: more for the URL."""

    def connect(*names: str, after: str | None = None, query: str = "") -> EventStream:
        return streamy_client.open(url(*names, query=query), last_event_id=after)

    return connect


class Stalled:
    """A client that takes the first frame, and nothing more until it is read."""

    def __init__(self, app: Flask, path: str, last_event_id: str = "") -> None:
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        self._response = app.test_client().get(path, headers=headers)
        self._chunks = self._response.iter_encoded()
        self.first = next(self._chunks)

    def read(self, count: int) -> list[Dispatched]:
        """The next so many events."""
        parser = EventStreamParser()
        while len(parser.events) < count:
            parser.feed(next(self._chunks))
        return parser.events

    def close(self) -> None:
        self._response.close()


Stall = Callable[..., Stalled]


@pytest.fixture
def stall(app: Flask, sse: StreamManager) -> Iterator[Stall]:
    """Connects such a client to these streams."""
    with ExitStack() as to_close:

        def stall(*names: str, after: str = "") -> Stalled:
            stalled = Stalled(app, url(*names), after)
            to_close.callback(stalled.close)
            return stalled

        yield stall


def leave(stream: EventStream) -> str:
    """Lose the connection. The id that the browser would come back with."""
    stream.close()
    return stream.last_event_id


def data(stream: EventStream, count: int) -> list[str]:
    """The data of the next so many events."""
    return [event.data for event in stream.events(count)]


class TestPromise1SendEventStoresOrRaises:
    def test_it_returns_the_id_under_which_clients_get_the_event(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        reader = connect("news")
        entry_id = sse.send_event("news", "a", "name")
        assert reader.events(1) == [Dispatched("name", "a", entry_id)]

    def test_it_raises_when_the_event_could_not_be_stored(
        self, sse: StreamManager, streamy_broker: FaultyBroker
    ) -> None:
        streamy_broker.go_away()
        with pytest.raises(PublishFailed) as caught:
            sse.send_event("news", "a")
        assert caught.value.attempts == 4
        assert isinstance(caught.value.__cause__, BrokerUnavailable)

    def test_a_lost_reply_does_not_store_it_twice(
        self, sse: StreamManager, streamy_broker: FaultyBroker
    ) -> None:
        streamy_broker.fail_next_append(stored=True)
        sse.send_event("news", "once")
        assert data_of(read_all(streamy_broker, "news")) == ["once"]


class TestPromise2EveryEntryOnceInOrderOrAGap:
    def test_two_clients_do_not_share_but_each_get_all(self, sse: StreamManager, connect: Connect) -> None:
        readers = [connect("news"), connect("news")]
        for n in range(30):
            sse.send_event("news", str(n))
        for reader in readers:
            assert data(reader, 30) == [str(n) for n in range(30)]

    @pytest.mark.parametrize("way", ["header", "query"])
    def test_one_that_comes_back_goes_on_where_it_was(
        self, sse: StreamManager, connect: Connect, way: str
    ) -> None:
        reader = connect("news")
        sse.send_events("news", ["1", "2"])
        assert data(reader, 2) == ["1", "2"]
        last = leave(reader)
        sse.send_events("news", ["3", "4"])
        back = (
            connect("news", after=last)
            if way == "header"
            else connect("news", query=f"&last_event_id={last}")
        )
        sse.send_event("news", "5")
        assert data(back, 3) == ["3", "4", "5"]

    def test_the_header_wins_over_the_query(self, sse: StreamManager, connect: Connect) -> None:
        first, second, _ = sse.send_events("news", ["1", "2", "3"])
        assert data(connect("news", after=second, query=f"&last_event_id={first}"), 1) == ["3"]

    def test_what_is_gone_is_one_gap_that_says_from_where_to_where(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        first = sse.send_event("news", "first")
        ids = sse.send_events("news", [str(n) for n in range(150)])
        reader = connect("news", after=first)
        gap, *rest = reader.events(101)
        assert gap.type == "streamy.gap"
        assert json.loads(gap.data) == {"stream": "news", "from": first, "to": ids[49]}
        assert [event.data for event in rest] == [str(n) for n in range(50, 150)]
        again = connect("news", after=leave(reader))
        sse.send_event("news", "next")
        assert data(again, 1) == ["next"]

    @pytest.mark.parametrize("cursor", ["x", "0", "zzzzz.9.abc", "_", "\u00e9", "'", "x" * 4000])
    def test_a_malformed_cursor_is_a_gap_and_never_an_error(
        self, sse: StreamManager, connect: Connect, cursor: str
    ) -> None:
        sse.send_event("news", "a")
        reader = connect("news", after=cursor)
        assert reader.status == 200
        assert [event.type for event in reader.events(2)] == ["streamy.gap", "message"]


class TestPromise3ResumingFromBeforeTheFirstEvent:
    def test_the_first_frame_is_an_event_that_tells_the_place(self, sse: StreamManager, stall: Stall) -> None:
        first = parse(stall("news").first)
        assert first == [Dispatched(OPEN, '{"keep_alive": 5}', sse.cursor("news"))]

    def test_one_that_drops_before_its_first_event_misses_nothing(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        last = leave(connect("news"))
        sse.send_event("news", "a")
        assert data(connect("news", after=last), 1) == ["a"]

    def test_a_page_closes_the_hole_between_rendering_and_connecting(
        self, app: Flask, sse: StreamManager, connect: Connect
    ) -> None:
        with app.test_request_context():
            cursor = render_template_string("{{ streamy_cursor('news') }}")
        sse.send_event("news", "between")
        assert data(connect("news", query=f"&last_event_id={cursor}"), 1) == ["between"]


class TestPromise4TheEndIsForGood:
    def test_clients_get_what_is_left_the_end_and_the_close(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        reader = connect("news")
        sse.send_event("news", "last")
        sse.end_stream("news")
        last, end = reader.read_to_end()
        assert (last.data, end.type, json.loads(end.data)) == ("last", "streamy.end", {"stream": "news"})

    def test_one_that_has_seen_it_gets_204_and_one_that_has_not_is_told(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        reader = connect("news")
        before = reader.last_event_id
        sse.end_stream("news")
        reader.read_to_end()
        told = connect("news", after=before)
        assert [event.type for event in told.read_to_end()] == ["streamy.end"]
        assert connect("news", after=told.last_event_id).status == 204

    def test_publishing_to_an_ended_stream_is_an_error(self, sse: StreamManager) -> None:
        sse.end_stream("news")
        with pytest.raises(StreamEnded) as caught:
            sse.send_event("news", "too late")
        assert isinstance(caught.value, ValueError)


class TestPromise5ASlowClientCostsItsOwnPlace:
    def test_one_that_does_not_read_holds_up_nobody(
        self, sse: StreamManager, connect: Connect, stall: Stall
    ) -> None:
        stall("news")
        quick = connect("news")
        for n in range(90):
            sse.send_event("news", str(n))
            assert data(quick, 1) == [str(n)]

    def test_one_that_does_not_read_loses_nothing_that_the_log_holds(
        self, sse: StreamManager, connect: Connect, stall: Stall
    ) -> None:
        slow, quick = stall("news"), connect("news")
        for _ in range(50):
            sse.send_event("news", "x" * 2_000)
            data(quick, 1)
        assert [event.data for event in slow.read(50)] == ["x" * 2_000] * 50

    def test_what_is_held_in_memory_for_one_that_does_not_read_is_bounded(self, app: Flask) -> None:
        with (
            MemoryBroker(Limits(history=10)) as broker,
            serving(app, StreamManager(app, broker=broker, window_bytes=20_000)) as sse,
            closing(Stalled(app, url("news"))),
            sse.subscribe("news") as entries,
        ):
            tracemalloc.start()
            for _ in range(200):
                sse.send_event("news", "x" * 100_000)
                next(entries)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert most < 5_000_000


class TestPromise6ManyStreamsOverOneConnection:
    def test_one_id_line_resumes_them_all(self, sse: StreamManager, connect: Connect) -> None:
        reader = connect("a", "b")
        sse.send_event("a", "1")
        assert data(reader, 1) == ["1"]
        sse.send_event("b", "2")
        assert data(reader, 1) == ["2"]
        last = leave(reader)
        sse.send_event("b", "3")
        sse.send_event("a", "4")
        assert sorted(data(connect("a", "b", after=last), 2)) == ["3", "4"]

    def test_for_ten_streams_it_stays_within_128_bytes(self, sse: StreamManager, connect: Connect) -> None:
        names = [f"user:{n}" for n in range(10)]
        reader = connect(*names)
        for name in names:
            sse.send_events(name, ["x"] * 90)
        reader.events(900)
        assert len(reader.last_event_id) <= 128

    def test_streams_may_join_and_leave_between_two_connections(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        reader = connect("stays", "goes")
        sse.send_event("stays", "1")
        assert data(reader, 1) == ["1"]
        last = leave(reader)
        sse.send_event("stays", "2")
        sse.send_event("joins", "before it joined")
        back = connect("stays", "joins", after=last)
        sse.send_event("joins", "since")
        assert sorted(data(back, 2)) == ["2", "since"]


class TestPromise7BytesAreSafe:
    @pytest.mark.parametrize(
        "text", ["x\revent: admin\rdata: pwn", "a\r\n\r\nevent: system\r\ndata: evil", "a\n\nb"]
    )
    def test_line_breaks_in_data_become_further_data_lines(
        self, sse: StreamManager, connect: Connect, text: str
    ) -> None:
        reader = connect("news")
        sse.send_event("news", text)
        (event,) = reader.events(1)
        assert event.type == "message"
        assert event.data == text.replace("\r\n", "\n").replace("\r", "\n")

    @pytest.mark.parametrize(
        ("data", "name"),
        [
            ("x", "a\nb"),
            ("x", "a\rb"),
            ("x", "a\0b"),
            ("\ud800", None),
            ("x", "\udfff"),
            (b"x", None),
            ("\0", None),
        ],
    )
    def test_what_can_not_be_carried_is_refused_and_not_stored(
        self, sse: StreamManager, data: str, name: str | None
    ) -> None:
        before = sse.cursor("news")
        with pytest.raises(InvalidEvent):
            sse.send_event("news", data, name)
        assert sse.cursor("news") == before


class TestPromise8NothingIsSharedByAccident:
    @pytest.mark.parametrize("other", ["*", "a*", "A", "a:", "a ", "%", "a%", "a_", "a.b", "[a]"])
    def test_names_are_exact(self, sse: StreamManager, connect: Connect, other: str) -> None:
        reader = connect("a")
        sse.send_event(other, "for others")
        sse.send_event("a", "for me")
        assert data(reader, 1) == ["for me"]


class TestPromise9OneBadPartSpoilsItselfOnly:
    def test_a_receiver_of_signals_that_fails_keeps_no_event_from_a_client(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        def fail(sender: object, **told: object) -> None:
            raise RuntimeError("a bug of its own")

        with client_connected.connected_to(fail, sse):
            reader = connect("news")
            sse.send_event("news", "a")
            assert data(reader, 1) == ["a"]


class TestPromise12WhatIsSetWronglyIsNamedAtStart:
    @pytest.mark.parametrize(
        ("setting", "value", "told"),
        [
            ("STREAMY_BROKER_URI", "memory://", "did you mean STREAMY_BROKER_URL"),
            ("STREAMY_BROKER_URL", "memroy://", "did you mean memory://"),
            ("STREAMY_MAX_RETRIES", -1, "STREAMY_MAX_RETRIES has to be"),
        ],
    )
    def test_the_error_names_the_setting_and_what_may_mend_it(
        self, app: Flask, setting: str, value: object, told: str
    ) -> None:
        app.config[setting] = value
        with pytest.raises(ConfigError, match=told):
            StreamManager(app)


class TestGapsOfSeveralStreams:
    def test_each_is_told_however_much_there_is_to_catch_up_with(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        last = leave(connect("a", "b", "c"))
        sse.send_events("a", ["x" * 4_000] * 90)
        for name in ("b", "c"):
            sse.send_events(name, [str(n) for n in range(150)])
        stream, events = connect("a", "b", "c", after=last), []
        while [event.data for event in events].count("149") < 2:
            events += stream.events(1)
        gaps = [json.loads(event.data)["stream"] for event in events if event.type == "streamy.gap"]
        assert sorted(gaps) == ["b", "c"]
