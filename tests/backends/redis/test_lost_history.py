"""A server that has lost some of what it held: whoever missed something is told, and everybody goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final

import pytest

from streamy_backends.redis.keys import Keys
from streamy_core import GAP, OLDEST, Entry, StreamManager, Subscription
from streamy_core.broker import Broker
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read, read_all, tail

from ..conftest import NewManager
from .conftest import KINDS, OwnServer

pytestmark = pytest.mark.slow

DAY: Final = 86_400_000
"""In milliseconds."""


class Stored:
    """What the server holds of the stream "news"."""

    def __init__(self, client: Any, prefix: str) -> None:
        self.client = client
        self.state, self.log = Keys(prefix).for_read("news")

    def lose_everything(self) -> None:
        self.client.flushall()

    def lose_its_state(self) -> None:
        assert self.client.delete(self.state) == 1

    def lose_its_log(self) -> None:
        assert self.client.delete(self.log) == 1

    def lose_both(self) -> None:
        assert self.client.delete(self.state, self.log) == 2

    def let_its_log_expire(self) -> None:
        assert self.client.pexpire(self.log, 1)
        eventually(lambda: not self.client.exists(self.log), "the log's expiry")

    def begin_tomorrow(self) -> None:
        """As if all had been written a day from now: what is left when the clock is set back."""
        entries = self.client.xrange(self.log)
        *state, oldest, end, secret = self.client.get(self.state).decode().split(" ")
        self.client.delete(self.log)
        for entry_id, fields in entries:
            sequence, at = entry_id.decode().split("-")
            self.client.xadd(self.log, fields, id=f"{sequence}-{int(at) + DAY}")
        self.client.set(self.state, " ".join([*state, str(int(oldest) + DAY), end, secret]), keepttl=True)

    def evict(self) -> None:
        """Fill the server until it has thrown both out. Then there is room: they would be next again."""
        self.client.config_set("maxmemory", self.client.info("memory")["used_memory"] + 2**20)
        fillers = count()

        def is_gone() -> bool:
            self.client.mset({f"filler-{next(fillers)}": "x" * 1_000 for _ in range(100)})
            return not self.client.exists(self.state, self.log)

        eventually(is_gone, "the stream's eviction")
        self.client.config_set("maxmemory", 0)


Lose = Callable[[Stored], None]

CURSORS_KEPT: Final[dict[str, Lose]] = {
    "the log": Stored.lose_its_log,
    "the log, by its age": Stored.let_its_log_expire,
}
CURSORS_FORGOTTEN: Final[dict[str, Lose]] = {
    "everything": Stored.lose_everything,
    "the state": Stored.lose_its_state,
    "state and log": Stored.lose_both,
}
WHERE_A_TRACE_IS_LEFT: Final[dict[str, Lose]] = {
    **CURSORS_KEPT,
    "everything": Stored.lose_everything,
    "the state": Stored.lose_its_state,
}
"""Of a stream whose keys are both gone, under an epoch that isn't, nothing says that it ever was."""


def losses(*kinds: dict[str, Lose]) -> pytest.MarkDecorator:
    found = {name: lose for kind in kinds for name, lose in kind.items()}
    return pytest.mark.parametrize("lose", found.values(), ids=list(found))


all_losses = losses(CURSORS_KEPT, CURSORS_FORGOTTEN)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stored(kind: str, shared: Callable[[str], Any], prefix: str) -> Stored:
    return Stored(shared(kind).client, prefix)


@pytest.fixture
def sse(kind: str, shared: Callable[[str], Any], new_manager: NewManager) -> StreamManager:
    return new_manager(shared(kind).url)


@pytest.fixture
def broker(sse: StreamManager) -> Broker:
    return sse.broker


@pytest.fixture
def following(sse: StreamManager) -> Iterator[Subscription]:
    """A subscription that has read "a" and "b", which is all there is."""
    with sse.subscribe("news") as subscription:
        sse.send_events("news", ["a", "b"])
        assert said(subscription, 2) == ["a", "b"]
        yield subscription


def said(subscription: Subscription, number: int) -> list[str]:
    """The data of so many entries; of a gap, its name."""
    return [GAP if entry.event.name == GAP else entry.event.data for entry in taken(subscription, number)]


def taken(subscription: Subscription, number: int) -> Iterator[Entry]:
    for _ in range(number):
        entry = subscription.next(DEADLINE)
        assert entry is not None, "nothing has come"
        yield entry


def lose_and_publish(sse: StreamManager, stored: Stored, lose: Lose) -> None:
    lose(stored)
    sse.send_event("news", "c")
    sse.send_events("news", ["d", "e"])


@losses(CURSORS_KEPT)
def test_a_subscription_that_had_read_all_of_a_lost_log_goes_on_without_a_gap(
    sse: StreamManager, following: Subscription, stored: Stored, lose: Lose
) -> None:
    lose_and_publish(sse, stored, lose)
    assert said(following, 3) == ["c", "d", "e"]


@losses(CURSORS_FORGOTTEN)
def test_a_subscription_whose_cursor_is_forgotten_is_told_and_goes_on(
    sse: StreamManager, following: Subscription, stored: Stored, lose: Lose
) -> None:
    lose_and_publish(sse, stored, lose)
    assert said(following, 4) == [GAP, "c", "d", "e"]


@all_losses
def test_a_subscription_after_a_lost_history_is_healthy(
    sse: StreamManager, following: Subscription, stored: Stored, lose: Lose
) -> None:
    lose(stored)
    sse.send_event("news", "c")
    while said(following, 1) != ["c"]:
        pass
    assert not sse.health.failures


def lose_what_a_reader_missed(sse: StreamManager, stored: Stored, lose: Lose) -> str:
    """The cursor of a reader that had the first of three events when the history was lost."""
    cursor, *_ = sse.send_events("news", ["a", "b", "c"])
    lose(stored)
    return cursor


@all_losses
def test_a_reader_that_missed_some_of_a_lost_history_is_told_at_once(
    sse: StreamManager, stored: Stored, lose: Lose
) -> None:
    cursor = lose_what_a_reader_missed(sse, stored, lose)
    with sse.subscribe("news", after=cursor) as subscription:
        assert said(subscription, 1) == [GAP]
        sse.send_event("news", "d")
        assert said(subscription, 1) == ["d"]


@all_losses
def test_a_reader_that_missed_some_of_a_lost_history_is_told_though_more_has_come_since(
    sse: StreamManager, stored: Stored, lose: Lose
) -> None:
    cursor = lose_what_a_reader_missed(sse, stored, lose)
    new = list("defghi")
    sse.send_events("news", new)
    with sse.subscribe("news", after=cursor) as subscription:
        assert said(subscription, 7) == [GAP, *new]


@losses(CURSORS_FORGOTTEN)
def test_a_cursor_from_before_is_not_taken_for_the_one_that_has_its_number_now(
    sse: StreamManager, stored: Stored, lose: Lose
) -> None:
    *_, cursor = sse.send_events("news", ["a", "b", "c"])
    lose(stored)
    sse.send_events("news", ["d", "e", "f"])
    with sse.subscribe("news", after=cursor) as subscription:
        assert said(subscription, 4) == [GAP, "d", "e", "f"]


@losses(WHERE_A_TRACE_IS_LEFT)
def test_a_reader_that_had_read_nothing_yet_is_told_as_well(
    sse: StreamManager, broker: Broker, stored: Stored, lose: Lose
) -> None:
    cursor = tail(broker, "news")
    sse.send_events("news", ["a", "b"])
    lose(stored)
    sse.send_event("news", "c")
    with sse.subscribe("news", after=cursor) as subscription:
        assert said(subscription, 2) == [GAP, "c"]


@all_losses
def test_from_now_on_is_a_good_cursor_after_a_loss(broker: Broker, stored: Stored, lose: Lose) -> None:
    broker.append("news", events("a", "b"))
    lose(stored)
    cursor = tail(broker, "news")
    broker.append("news", events("c", "d"))
    assert data_of(read_all(broker, "news", cursor)) == ["c", "d"]


@all_losses
def test_from_the_oldest_is_never_a_gap(broker: Broker, stored: Stored, lose: Lose) -> None:
    broker.append("news", events("a", "b"))
    lose(stored)
    assert read_all(broker, "news", OLDEST) == []
    broker.append("news", events("c", "d"))
    assert data_of(read_all(broker, "news", OLDEST)) == ["c", "d"]


def test_scripts_that_the_server_forgot_are_missed_by_nobody(
    sse: StreamManager, following: Subscription, stored: Stored
) -> None:
    stored.client.script_flush()
    sse.send_event("news", "c")
    stored.client.script_flush()
    with sse.subscribe("news", after=OLDEST) as another:
        assert said(another, 3) == ["a", "b", "c"]
    stored.client.script_flush()
    sse.end_stream("news")
    assert said(following, 1) == ["c"]
    assert following.next(DEADLINE) is None
    assert not sse.health.failures


def test_a_stream_goes_on_in_order_when_the_clock_is_set_back(
    sse: StreamManager, following: Subscription, stored: Stored
) -> None:
    stored.begin_tomorrow()
    sse.send_event("news", "c")
    sse.send_events("news", ["d", "e"])
    assert said(following, 3) == ["c", "d", "e"]
    assert data_of(read_all(sse.broker, "news")) == ["a", "b", "c", "d", "e"]


def test_a_reader_keeps_its_cursor_when_the_clock_is_set_back(broker: Broker, stored: Stored) -> None:
    cursor, *_ = broker.append("news", events("a", "b"))
    stored.begin_tomorrow()
    broker.append("news", events("c"))
    assert data_of(read_all(broker, "news", cursor)) == ["b", "c"]


def test_a_history_is_trimmed_by_count_when_the_clock_is_set_back(
    kind: str, shared: Callable[[str], Any], stored: Stored, new_manager: NewManager
) -> None:
    broker = new_manager(shared(kind).url, history=8).broker
    broker.append("news", events("a", "b"))
    stored.begin_tomorrow()
    broker.append("news", events(*"cdefghij"))
    assert data_of(read_all(broker, "news")) == list("cdefghij")


def test_a_subscription_that_keeps_up_is_told_nothing_of_a_trimmed_history(
    kind: str, shared: Callable[[str], Any], new_manager: NewManager
) -> None:
    sse = new_manager(shared(kind).url, history=5)
    with sse.subscribe("news") as subscription:
        for number in range(50):
            sse.send_event("news", str(number))
            assert said(subscription, 1) == [str(number)]


def test_a_reader_whose_cursor_was_trimmed_is_told_and_gets_what_is_left(
    kind: str, shared: Callable[[str], Any], new_manager: NewManager
) -> None:
    sse = new_manager(shared(kind).url, history=5)
    cursor, *_ = sse.send_events("news", [str(number) for number in range(5)])
    sse.send_events("news", [str(number) for number in range(5, 20)])
    with sse.subscribe("news", after=cursor) as subscription:
        assert said(subscription, 6) == [GAP, "15", "16", "17", "18", "19"]


@pytest.mark.parametrize("after", [0, 1, 3], ids=["nothing", "some", "most"])
def test_a_reader_whose_cursor_somebody_else_has_trimmed_is_told(
    broker: Broker, stored: Stored, after: int
) -> None:
    cursors = [tail(broker, "news"), *broker.append("news", events(*"abcdef"))]
    stored.client.execute_command("XTRIM", stored.log, "MINID", "5")
    page = read(broker, "news", cursors[after])
    assert page.gap
    assert data_of(read_all(broker, "news", page.cursor)) == ["e", "f"]


def test_entries_keep_their_ids_when_somebody_else_trims_the_log(broker: Broker, stored: Stored) -> None:
    ids = broker.append("news", events(*"abcdef"))
    stored.client.execute_command("XTRIM", stored.log, "MINID", "5")
    assert [entry.id for entry in read_all(broker, "news")] == ids[4:]


@pytest.mark.parametrize("after", [0, 1, 2], ids=["nothing", "some", "all up to the hole"])
def test_a_reader_of_a_log_in_which_somebody_else_made_a_hole_is_told_and_gets_what_comes_after(
    sse: StreamManager, broker: Broker, stored: Stored, after: int
) -> None:
    cursors = [tail(broker, "news"), *broker.append("news", events(*"abcde"))]
    (hole,) = stored.client.xrange(stored.log, "3", count=1)
    stored.client.xdel(stored.log, hole[0])
    with sse.subscribe("news", after=cursors[after]) as subscription:
        assert said(subscription, 5 - after) == [*"ab"[after:], GAP, "d", "e"]


def delete_newest(stored: Stored, number: int) -> None:
    newest = stored.client.xrevrange(stored.log, count=number)
    stored.client.xdel(stored.log, *[entry_id for entry_id, _ in newest])


def test_a_reader_of_a_log_whose_newest_entries_somebody_deleted_is_told_at_once(
    sse: StreamManager, broker: Broker, stored: Stored
) -> None:
    broker.append("news", events(*"abcd"))
    delete_newest(stored, 2)
    with sse.subscribe("news", after=OLDEST) as subscription:
        assert said(subscription, 3) == ["a", "b", GAP]
        sse.send_event("news", "e")
        while said(subscription, 1) != ["e"]:
            pass  # a gap once more: the entry at its cursor isn't there


def test_a_reader_of_an_ended_log_whose_newest_entries_somebody_deleted_gets_to_the_end(
    sse: StreamManager, broker: Broker, stored: Stored
) -> None:
    broker.append("news", events(*"abcd"))
    broker.end("news")
    delete_newest(stored, 2)
    with sse.subscribe("news", after=OLDEST) as subscription:
        assert said(subscription, 3) == ["a", "b", GAP]
        assert subscription.next(DEADLINE) is None


@pytest.fixture
def small(kind: str, own_server: OwnServer, prefix: str) -> Stored:
    """On a server that throws out what was used least lately."""
    return Stored(own_server("maxmemory-policy allkeys-lru", kind=kind).start().client, prefix)


def url(stored: Stored) -> str:
    return f"redis://127.0.0.1:{stored.client.connection_pool.connection_kwargs['port']}/0"


def test_a_subscription_whose_stream_was_evicted_is_told_and_goes_on(
    small: Stored, new_manager: NewManager
) -> None:
    sse = new_manager(url(small))
    with sse.subscribe("news") as subscription:
        sse.send_events("news", ["a", "b"])
        assert said(subscription, 2) == ["a", "b"]
        small.evict()
        sse.send_events("news", ["c", "d"])
        assert said(subscription, 3) == [GAP, "c", "d"]


def test_a_reader_whose_stream_was_evicted_is_told_and_gets_what_is_left(
    small: Stored, new_manager: NewManager
) -> None:
    sse = new_manager(url(small))
    cursor, *_ = sse.send_events("news", ["a", "b"])
    small.evict()
    sse.send_events("news", ["c", "d"])
    with sse.subscribe("news", after=cursor) as subscription:
        assert said(subscription, 3) == [GAP, "c", "d"]
