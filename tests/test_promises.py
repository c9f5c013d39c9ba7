"""The promises to the user, one by one: what makes Streamy Streamy, tested from the outside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from flask import Flask, render_template_string, request
from flask.testing import FlaskClient

from streamy_backends.memory import Limits
from streamy_core import BrokerUnavailable, InvalidEvent, PublishFailed, StreamEnded, StreamManager
from streamy_core.strategies import FixedDelay
from streamy_core.testing.event_stream import Dispatched, EventStreamParser

from .engine.doubles import FaultyBroker


class Reader:
    """A browser's EventSource, as far as one response goes."""

    def __init__(self, client: FlaskClient, url: str, last_event_id: str = "") -> None:
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        self.response = client.get(url, headers=headers)
        self._chunks = self.response.iter_encoded()
        self._parser = EventStreamParser()
        self._due: list[Dispatched] = []
        self.opening = next(self._chunks, b"")
        self._due += self._parser.feed(self.opening)

    @property
    def last_event_id(self) -> str:
        return self._parser.last_event_id

    def read(self, count: int) -> list[Dispatched]:
        while len(self._due) < count:
            self._due += self._parser.feed(next(self._chunks))
        found, self._due = self._due[:count], self._due[count:]
        return found

    def rest(self) -> list[Dispatched]:
        for chunk in self._chunks:
            self._due += self._parser.feed(chunk)
        return self._due

    def data(self, count: int) -> list[str]:
        return [event.data for event in self.read(count)]

    def cut(self) -> str:
        """Lose the connection. Returns the id that the browser would come back with."""
        self.response.close()
        return self.last_event_id


@pytest.fixture
def broker() -> Iterator[FaultyBroker]:
    with FaultyBroker(Limits(history=100)) as broker:
        yield broker


@pytest.fixture
def sse(broker: FaultyBroker) -> Iterator[StreamManager]:
    app = Flask(__name__)
    manager = StreamManager(app, broker=broker, retry=FixedDelay(0.001, retries=3), window_bytes=20_000)
    app.add_url_rule(
        "/events", view_func=lambda: manager.get_stream(request.args.getlist("id"), keep_alive_interval=5)
    )
    manager.app = app  # type: ignore[attr-defined]
    yield manager
    manager.close()


@pytest.fixture
def connect(sse: StreamManager) -> Iterator[Callable[..., Reader]]:
    client = sse.app.test_client()  # type: ignore[attr-defined]
    readers = []

    def make(*names: str, after: str = "", query: str = "") -> Reader:
        url = "/events?" + "&".join(f"id={name}" for name in names) + query
        readers.append(Reader(client, url, after))
        return readers[-1]

    yield make
    for reader in readers:
        reader.response.close()


Connect = Callable[..., Reader]


class TestPromise1SendEventStoresOrRaises:
    def test_it_returns_the_id_under_which_clients_get_the_event(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        reader = connect("news")
        entry_id = sse.send_event("news", "a", "name")
        assert reader.read(1) == [Dispatched("name", "a", entry_id)]

    def test_it_raises_when_the_event_could_not_be_stored(
        self, sse: StreamManager, broker: FaultyBroker
    ) -> None:
        broker.away.set()
        with pytest.raises(PublishFailed) as caught:
            sse.send_event("news", "a")
        assert caught.value.attempts == 4
        assert isinstance(caught.value.__cause__, BrokerUnavailable)

    def test_a_lost_reply_does_not_store_it_twice(
        self, sse: StreamManager, broker: FaultyBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        append = broker.append
        replies = iter([BrokerUnavailable("the reply was lost"), None])

        def append_and_lose_the_reply(*args: object, **options: object) -> list[str]:
            ids = append(*args, **options)  # type: ignore[arg-type]
            if (fault := next(replies)) is not None:
                raise fault
            return ids

        before = sse.cursor("news")
        monkeypatch.setattr(broker, "append", append_and_lose_the_reply)
        sse.send_event("news", "once")
        page = broker.read({"news": before}, 10)["news"]
        assert [entry.event.data for entry in page.entries] == ["once"]


class TestPromise2EveryEntryOnceInOrderOrAGap:
    def test_two_clients_do_not_share_but_each_get_all(self, sse: StreamManager, connect: Connect) -> None:
        readers = [connect("news"), connect("news")]
        for n in range(30):
            sse.send_event("news", str(n))
        for reader in readers:
            assert reader.data(30) == [str(n) for n in range(30)]

    @pytest.mark.parametrize("way", ["header", "query"])
    def test_one_that_comes_back_goes_on_where_it_was(
        self, sse: StreamManager, connect: Connect, way: str
    ) -> None:
        reader = connect("news")
        sse.send_events("news", ["1", "2"])
        assert reader.data(2) == ["1", "2"]
        last = reader.cut()
        sse.send_events("news", ["3", "4"])
        back = (
            connect("news", after=last)
            if way == "header"
            else connect("news", query=f"&last_event_id={last}")
        )
        sse.send_event("news", "5")
        assert back.data(3) == ["3", "4", "5"]

    def test_the_header_wins_over_the_query(self, sse: StreamManager, connect: Connect) -> None:
        first, second, _ = sse.send_events("news", ["1", "2", "3"])
        assert connect("news", after=second, query=f"&last_event_id={first}").data(1) == ["3"]

    def test_what_is_gone_is_one_gap_that_says_from_where_to_where(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        first = sse.send_event("news", "first")
        ids = sse.send_events("news", [str(n) for n in range(150)])
        reader = connect("news", after=first)
        gap, *rest = reader.read(101)
        assert gap.type == "streamy.gap"
        assert json.loads(gap.data) == {"stream": "news", "from": first, "to": ids[49]}
        assert [event.data for event in rest] == [str(n) for n in range(50, 150)]
        again = connect("news", after=reader.cut())
        sse.send_event("news", "next")
        assert again.data(1) == ["next"]

    @pytest.mark.parametrize("cursor", ["x", "0", "zzzzz.9.abc", "_", "\u00e9", "'", "x" * 4000])
    def test_a_malformed_cursor_is_a_gap_and_never_an_error(
        self, sse: StreamManager, connect: Connect, cursor: str
    ) -> None:
        sse.send_event("news", "a")
        reader = connect("news", after=cursor)
        assert reader.response.status_code == 200
        assert [event.type for event in reader.read(2)] == ["streamy.gap", "message"]


class TestPromise3ResumingFromBeforeTheFirstEvent:
    def test_the_first_frame_has_an_id_and_a_retry_and_dispatches_nothing(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        reader = connect("news")
        assert reader.opening == f"id: {sse.cursor('news')}\nretry: 3000\n\n".encode()
        assert reader.last_event_id == sse.cursor("news")

    def test_one_that_drops_before_its_first_event_misses_nothing(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        last = connect("news").cut()
        sse.send_event("news", "a")
        assert connect("news", after=last).data(1) == ["a"]

    def test_a_page_closes_the_hole_between_rendering_and_connecting(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        with sse.app.test_request_context():  # type: ignore[attr-defined]
            place = render_template_string("{{ streamy_cursor('news') }}")
        sse.send_event("news", "between")
        assert connect("news", query=f"&last_event_id={place}").data(1) == ["between"]


class TestPromise4TheEndIsForGood:
    def test_clients_get_what_is_left_the_end_and_the_close(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        reader = connect("news")
        sse.send_event("news", "last")
        sse.end_stream("news")
        last, end = reader.rest()
        assert (last.data, end.type, json.loads(end.data)) == ("last", "streamy.end", {"stream": "news"})

    def test_one_that_has_seen_it_gets_204_and_one_that_has_not_is_told(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        reader = connect("news")
        before = reader.last_event_id
        sse.end_stream("news")
        reader.rest()
        told = connect("news", after=before)
        assert [event.type for event in told.rest()] == ["streamy.end"]
        assert connect("news", after=told.last_event_id).response.status_code == 204

    def test_publishing_to_an_ended_stream_is_an_error(self, sse: StreamManager) -> None:
        sse.end_stream("news")
        with pytest.raises(StreamEnded) as caught:
            sse.send_event("news", "too late")
        assert isinstance(caught.value, ValueError)


class TestPromise5ASlowClientCostsItsOwnPlace:
    def test_one_that_does_not_read_holds_up_nobody(self, sse: StreamManager, connect: Connect) -> None:
        connect("news")
        quick = connect("news")
        for n in range(90):
            sse.send_event("news", str(n))
            assert quick.data(1) == [str(n)]

    def test_what_is_held_in_memory_is_bounded(self, sse: StreamManager, connect: Connect) -> None:
        slow = connect("news")
        quick = connect("news")
        for _ in range(50):
            sse.send_event("news", "x" * 2_000)
            quick.data(1)
        feed = sse.binding.engine.hub._feeds["news"]
        assert sum(len(frame.body) for frame in feed.window._frames) <= 20_000
        assert slow.data(50) == ["x" * 2_000] * 50, "and it loses nothing of what the log holds"


class TestPromise6ManyStreamsOverOneConnection:
    def test_one_id_line_resumes_them_all(self, sse: StreamManager, connect: Connect) -> None:
        reader = connect("a", "b")
        sse.send_event("a", "1")
        assert reader.data(1) == ["1"]
        sse.send_event("b", "2")
        assert reader.data(1) == ["2"]
        last = reader.cut()
        sse.send_event("b", "3")
        sse.send_event("a", "4")
        assert sorted(connect("a", "b", after=last).data(2)) == ["3", "4"]

    def test_for_ten_streams_it_stays_within_128_bytes(self, sse: StreamManager, connect: Connect) -> None:
        names = [f"user:{n}" for n in range(10)]
        reader = connect(*names)
        for name in names:
            sse.send_events(name, ["x"] * 90)
        reader.read(900)
        assert len(reader.last_event_id) <= 128

    def test_streams_may_join_and_leave_between_two_connections(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        reader = connect("stays", "goes")
        sse.send_event("stays", "1")
        assert reader.data(1) == ["1"]
        sse.send_event("stays", "2")
        place = reader.cut()
        sse.send_event("joins", "before it joined")
        back = connect("stays", "joins", after=place)
        sse.send_event("joins", "since")
        assert sorted(back.data(2)) == ["2", "since"]


class TestPromise7BytesAreSafe:
    @pytest.mark.parametrize(
        "data", ["x\revent: admin\rdata: pwn", "a\r\n\r\nevent: system\r\ndata: evil", "a\n\nb"]
    )
    def test_line_breaks_in_data_become_further_data_lines(
        self, sse: StreamManager, connect: Connect, data: str
    ) -> None:
        reader = connect("news")
        sse.send_event("news", data)
        (event,) = reader.read(1)
        assert event.type == "message"
        assert event.data == data.replace("\r\n", "\n").replace("\r", "\n")

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
        assert reader.data(1) == ["for me"]


class TestGapsOfSeveralStreams:
    def test_each_is_told_however_much_there_is_to_catch_up_with(
        self, sse: StreamManager, connect: Connect
    ) -> None:
        place = connect("a", "b", "c").cut()
        sse.send_events("a", ["x" * 4_000] * 90)
        for name in ("b", "c"):
            sse.send_events(name, [str(n) for n in range(150)])
        events = connect("a", "b", "c", after=place).read(92)
        gaps = [json.loads(event.data)["stream"] for event in events if event.type == "streamy.gap"]
        assert sorted(gaps) == ["b", "c"]
