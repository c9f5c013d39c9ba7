"""Delivery by a WSGI iterable: what it holds, when it ends, and what it leaves behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import pytest

from streamy_core import OLDEST, OPEN, StreamManager
from streamy_core.delivery.delivery import Connection
from streamy_core.delivery.servers import server_of
from streamy_core.delivery.session import Expiry, Session
from streamy_core.delivery.wsgi import WsgiBody, WsgiDelivery
from streamy_core.engine.frames import Framing
from streamy_core.observers import DisconnectReason
from streamy_core.signals import client_disconnected, slow_client
from streamy_core.strategies import FixedInterval, Never
from streamy_core.strategies.slow_clients import Disconnect, Lag, SkipToLatest, SlowClientPolicy
from streamy_core.testing import ManualClock
from streamy_core.testing.event_stream import parse
from streamy_core.testing.reading import DEADLINE, events, eventually
from streamy_core.wire import KEEP_ALIVE

from ..engine.doubles import FaultyBroker, SlowBroker
from ..support.making import closed_in_the_end
from .terms import terms_of

MakeBody = Callable[..., WsgiBody]


@pytest.fixture
def make_sse(broker: FaultyBroker) -> Iterator[Callable[..., StreamManager]]:
    with closed_in_the_end(partial(StreamManager, broker=broker)) as make:
        yield make


def body_of(
    sse: StreamManager,
    *names: str,
    after: str | None = None,
    interval: float | None = None,
    key: str | None = None,
    capacity: int | None = None,
) -> WsgiBody:
    binding = sse.binding
    streams = list(names or ("news",))
    session = binding.session(streams, key, FixedInterval(interval) if interval else Never())
    reader = binding.open_reader(streams, after, None, Framing())
    return binding.delivery.body(session, reader, Connection(server_of(None), capacity=capacity))


def data_of(chunk: bytes) -> list[str]:
    return [event.data for event in parse(chunk) if event.type != OPEN]


def test_a_body_that_is_never_read_takes_up_nothing(make_sse: Callable[..., StreamManager]) -> None:
    sse = make_sse()
    body = body_of(sse)
    assert (sse.health.streams, len(sse.binding.delivery)) == (0, 0)
    body.close()
    assert list(body) == []


def test_what_was_published_just_before_a_shutdown_is_delivered() -> None:
    with SlowBroker() as broker, closing(StreamManager(broker=broker)) as sse, ThreadPoolExecutor(1) as pool:
        body = body_of(sse)
        next(body)
        eventually(lambda: broker.reads, "the stream is being read")
        broker.hold_up()
        sse.send_event("news", "last")
        closed = pool.submit(sse.binding.delivery.shutdown)
        eventually(lambda: broker.held_up, "the bell has been heard")
        broker.go_on()
        closed.result(DEADLINE)
        assert data_of(b"".join(body)) == ["last"]


def test_health_counts_the_clients_that_are_connected(make_sse: Callable[..., StreamManager]) -> None:
    sse = make_sse()
    bodies = [body_of(sse) for _ in range(3)]
    for body in bodies:
        next(body)
    assert (sse.health.clients, sse.health.streams) == (3, 1)
    bodies[0].close()
    assert sse.health.clients == 2


def test_a_body_that_is_closed_leaves_nothing(make_sse: Callable[..., StreamManager]) -> None:
    sse = make_sse()
    body = body_of(sse)
    next(body)
    assert (sse.health.streams, len(sse.binding.delivery)) == (1, 1)
    body.close()
    body.close()
    assert (sse.health.streams, len(sse.binding.delivery)) == (0, 0)


def test_closing_a_body_that_was_given_away_does_not_detach_its_reader(
    make_sse: Callable[..., StreamManager],
) -> None:
    sse = make_sse()
    body = body_of(sse)
    body.reader.attach(lambda: None)
    body.close()
    assert sse.health.streams == 1


def test_all_that_is_due_comes_joined(make_sse: Callable[..., StreamManager], broker: FaultyBroker) -> None:
    sse = make_sse()
    body = body_of(sse)
    next(body)
    broker.append("news", events(*map(str, range(50))))
    eventually(
        lambda: sse.binding.engine.hub.distance("news", body.reader.position["news"]) == 50,
        "the hub has read",
    )
    assert data_of(next(body)) == [str(n) for n in range(50)]


def test_an_idle_client_gets_keep_alives(make_sse: Callable[..., StreamManager]) -> None:
    body = body_of(make_sse(), interval=0.01)
    next(body)
    assert [next(body) for _ in range(3)] == [b": keep-alive\n\n"] * 3


class Served:
    """A body whose server takes as long over each piece as the test says, and what came of it."""

    def __init__(self, sse: StreamManager, policy: SlowClientPolicy) -> None:
        self._clock = ManualClock()
        binding = sse.binding
        hub = binding.engine.hub
        self._behind = lambda: hub.distance("news", self.body.reader.position["news"])
        self.lags: list[Lag] = []
        self.reasons: list[str] = []
        slow_client.connect(self._slow, sse)
        client_disconnected.connect(self._gone, sse)
        terms = terms_of(sse, slow_client_policy=policy, clock=self._clock)
        session = Session(("news",), None, FixedInterval(30))
        reader = binding.open_reader(["news"], None, None, Framing())
        self.body = WsgiDelivery(terms).body(session, reader, Connection(server_of(None)))
        next(self.body)

    def next(self, *, after: float, behind: int) -> bytes:
        """The next piece, asked for so many seconds later, when so many entries are waiting."""
        eventually(lambda: self._behind() == behind, "the hub has read")
        self._clock.advance(after)
        return next(self.body)

    def _slow(self, sender: object, lag: Lag, **_: object) -> None:
        self.lags.append(lag)

    def _gone(self, sender: object, reason: str, **_: object) -> None:
        self.reasons.append(reason)


def test_a_dashboard_that_takes_its_time_skips_to_the_newest_and_is_told(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker
) -> None:
    served = Served(make_sse(), SkipToLatest(entries=5))
    broker.append("news", events(*map(str, range(6))))
    piece = served.next(after=1.0, behind=6)
    assert b"event: streamy.gap\n" in piece
    assert data_of(piece)[1:] == ["5"]
    assert served.lags == [Lag(entries=6, bytes=0, stalled=0.0)]
    broker.append("news", events("6", "7"))
    assert data_of(served.next(after=0.0, behind=2)) == ["6", "7"]


def test_a_client_that_takes_its_time_and_is_too_far_behind_is_sent_away(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker
) -> None:
    served = Served(make_sse(), Disconnect(entries=5))
    broker.append("news", events(*map(str, range(6))))
    assert re.fullmatch(rb"retry: \d+\n\n", served.next(after=1.0, behind=6))
    assert list(served.body) == []
    assert served.reasons == [DisconnectReason.SLOW]


@pytest.mark.parametrize(("after", "behind"), [(0.9, 6), (1.0, 5)], ids=["is quick", "is not far behind"])
def test_a_client_gets_all_that_it_is_behind_if_it(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker, after: float, behind: int
) -> None:
    served = Served(make_sse(), SkipToLatest(entries=5))
    broker.append("news", events(*map(str, range(behind))))
    assert data_of(served.next(after=after, behind=behind)) == [str(n) for n in range(behind)]
    assert served.lags == []


def test_a_client_that_is_level_is_not_slow_however_long_it_took(
    make_sse: Callable[..., StreamManager],
) -> None:
    served = Served(make_sse(), Disconnect(seconds=0, entries=-1))
    assert served.next(after=100.0, behind=0) == KEEP_ALIVE
    assert served.lags == []


def test_a_client_that_was_sent_away_while_it_took_its_time_is_not_slow_besides(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker
) -> None:
    served = Served(make_sse(), Disconnect(entries=0))
    broker.append("news", events("a"))
    served.body.disconnect(DisconnectReason.DISCONNECTED)
    served.next(after=1.0, behind=1)
    assert (served.lags, served.reasons) == ([], ["disconnected"])


def before_what_is_missed(sse: StreamManager) -> str:
    """The cursor of who has missed one event."""
    cursor = sse.cursor("news")
    sse.send_event("news", "missed")
    return cursor


def test_past_the_slots_a_client_gets_what_it_missed_and_is_told_to_come_back(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker
) -> None:
    sse = make_sse(wsgi_slots=1)
    cursor = sse.cursor("news")
    staying = body_of(sse)
    next(staying)
    broker.append("news", events("missed"))
    chunks = list(body_of(sse, after=cursor))
    assert data_of(b"".join(chunks)) == ["missed"]
    assert re.fullmatch(rb"retry: \d+\n\n", chunks[-1])
    staying.close()
    after = body_of(sse)
    next(after)
    assert len(sse.binding.delivery) == 1, "the slot that was freed is used again"


def test_past_the_slots_a_client_that_is_not_served_in_time_is_told_to_come_back(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker
) -> None:
    sse = make_sse(wsgi_slots=0)
    cursor = before_what_is_missed(sse)
    body = body_of(sse, after=cursor)
    broker.away.set()
    with ThreadPoolExecutor(1) as pool:
        chunks = pool.submit(list, body).result(timeout=3.0)
    assert re.fullmatch(rb"retry: \d+\n\n", chunks[-1])


def test_past_the_slots_only_a_quarter_of_the_threads_is_given_to_those_who_missed_something(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker
) -> None:
    sse = make_sse(wsgi_slots=0)
    cursor = before_what_is_missed(sse)
    first, second, third = (body_of(sse, after=cursor, capacity=4) for _ in range(3))
    assert data_of(next(first)) == ["missed"]
    (chunk,) = second
    assert data_of(chunk) == []
    first.close()
    assert data_of(next(third)) == ["missed"]


@pytest.mark.parametrize(
    ("limit", "keys"), [("max_connections", ("a", "b")), ("max_connections_per_key", ("a", "a"))]
)
def test_past_a_limit_the_service_is_short_too(
    make_sse: Callable[..., StreamManager], limit: str, keys: tuple[str, str]
) -> None:
    sse = make_sse(**{limit: 1})
    staying, passing = (body_of(sse, key=key) for key in keys)
    next(staying)
    assert list(passing)[-1].startswith(b"retry: ")
    staying.close()
    assert len(sse.binding.delivery) == 0


def test_another_key_is_not_limited(make_sse: Callable[..., StreamManager]) -> None:
    sse = make_sse(max_connections_per_key=1)
    for key in ("a", "b"):
        next(body_of(sse, key=key))
    assert len(sse.binding.delivery) == 2


def test_a_client_that_is_too_old_is_told_to_come_back(make_sse: Callable[..., StreamManager]) -> None:
    body = body_of(make_sse(max_connection_age=0.02))
    assert list(body)[-1].startswith(b"retry: ")


class NeverLevel:
    """A client that is given a long log, a piece a second."""

    def __init__(self, sse: StreamManager, broker: FaultyBroker, *, age: float | None) -> None:
        broker.append("news", events(*["x" * 100_000] * 20))
        binding = sse.binding
        self.clock = ManualClock()
        terms = terms_of(sse, clock=self.clock)
        session = Session(("news",), None, Never(), None if age is None else Expiry(age))
        reader = binding.open_reader(["news"], OLDEST, None, Framing())
        self.body = WsgiDelivery(terms).body(session, reader, Connection(server_of(None)))

    def pieces(self) -> Iterator[bytes]:
        for piece in self.body:
            self.clock.advance(1.0)
            yield piece


def test_a_client_that_never_catches_up_is_told_to_come_back_when_its_time_is_over(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker
) -> None:
    pieces = list(NeverLevel(make_sse(), broker, age=3.0).pieces())
    assert len(pieces) == 4
    assert pieces[-1].startswith(b"retry: ")


def test_a_client_that_never_catches_up_holds_up_no_shutdown(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker
) -> None:
    sse = make_sse()
    pieces = NeverLevel(sse, broker, age=None).pieces()
    next(pieces)
    sse.binding.delivery.shutdown()
    (last,) = pieces
    assert last.startswith(b"retry: ")


def test_a_command_disconnects_clients_by_key(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker
) -> None:
    sse = make_sse()
    ann, bob = body_of(sse, key="ann"), body_of(sse, key="bob")
    next(ann), next(bob)
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, ann)
        sse.disconnect(key="ann")
        assert rest.result(DEADLINE)[-1].startswith(b"retry: ")
    broker.append("news", events("for those who stay"))
    assert data_of(next(bob)) == ["for those who stay"]


def test_a_command_reaches_every_process(make_sse: Callable[..., StreamManager]) -> None:
    here, there = make_sse(), make_sse()
    body = body_of(there, "news")
    next(body)
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, body)
        here.disconnect(stream_id="news")
        assert rest.result(DEADLINE)[-1].startswith(b"retry: ")


def test_closing_the_manager_tells_clients_to_come_back(make_sse: Callable[..., StreamManager]) -> None:
    sse = make_sse()
    body = body_of(sse)
    next(body)
    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(list, body)
        sse.close()
        assert rest.result(DEADLINE)[-1].startswith(b"retry: ")


def test_a_client_that_lags_rides_out_an_outage(
    make_sse: Callable[..., StreamManager], broker: FaultyBroker, caplog: pytest.LogCaptureFixture
) -> None:
    sse = make_sse(window_entries=1, retry_policy=None, max_retries=1000)
    body = body_of(sse)
    next(body)
    broker.append("news", events(*map(str, range(10))))
    eventually(
        lambda: sse.binding.engine.hub.distance("news", body.reader.position["news"]) is None, "it lags"
    )
    broker.away.set()
    with ThreadPoolExecutor(1) as pool:
        chunk = pool.submit(next, body)
        eventually(lambda: "reading failed" in caplog.text, "the outage has been met")
        broker.away.clear()
        assert data_of(chunk.result(DEADLINE)) == [str(n) for n in range(10)]
