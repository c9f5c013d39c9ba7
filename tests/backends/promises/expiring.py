"""Events that are only for now: the same on every backend."""

from __future__ import annotations

from contextlib import ExitStack

from streamy_core import OLDEST, Entry, Event, Last, StreamManager
from streamy_core.engine.subscription import Subscription


def entry_of(subscription: Subscription) -> Entry:
    entry = subscription.next(10)
    assert entry is not None, "nothing came"
    return entry


def data_of(subscription: Subscription, count: int) -> list[str]:
    return [entry_of(subscription).event.data for _ in range(count)]


class ExpiringPromises:
    """A subclass has a fixture `sse`."""

    def test_who_is_there_gets_an_event_that_is_only_for_now(self, sse: StreamManager) -> None:
        with sse.subscribe("room") as subscription:
            sse.send_event("room", {"who": 7}, "typing", retry=5, expires=0)
            assert entry_of(subscription).event == Event('{"who": 7}', "typing", 5)

    def test_who_comes_later_does_not_get_it_and_is_told_of_no_gap(self, sse: StreamManager) -> None:
        before = sse.cursor("room")
        sse.send_event("room", "a")
        over = sse.send_event("room", "over", "typing", expires=0)
        sse.send_events("room", ["b", Event("over", expires=0), "c"])
        with ExitStack() as stack:
            for after, expected in {
                OLDEST: ["a", "b", "c"],
                before: ["a", "b", "c"],
                over: ["b", "c"],
                Last(5): ["a", "b", "c"],
            }.items():
                subscription = stack.enter_context(sse.subscribe("room", after))
                assert data_of(subscription, len(expected)) == expected

    def test_who_comes_later_does_not_get_it_from_what_others_have_just_read(
        self, sse: StreamManager
    ) -> None:
        before = sse.cursor("room")
        with sse.subscribe("room") as first:
            sse.send_events("room", [Event("over", expires=0), "a"])
            assert data_of(first, 2) == ["over", "a"]
            with sse.subscribe("room", before) as second:
                assert data_of(second, 1) == ["a"]
                sse.send_event("room", "for both", expires=0)
                assert data_of(first, 1) == data_of(second, 1) == ["for both"]

    def test_who_comes_in_time_gets_it(self, sse: StreamManager) -> None:
        before = sse.cursor("room")
        sse.send_soon("room", "still on", expires=600)
        with sse.subscribe("room", before) as subscription:
            assert data_of(subscription, 1) == ["still on"]

    def test_a_stream_of_nothing_else_ends_for_who_comes_later(self, sse: StreamManager) -> None:
        sse.send_events("room", [Event("over", expires=0)] * 15)
        sse.end_stream("room")
        with sse.subscribe("room", OLDEST) as subscription:
            assert list(subscription) == []

    def test_history_fills_its_pages_with_what_is_not_over(self, sse: StreamManager) -> None:
        published = [f"{number}" for number in range(3)]
        for number in published:
            sse.send_events("room", [number, *[Event("over", "typing", expires=0)] * 2])
        page = sse.history("room", 2)
        assert [entry.event.data for entry in page.entries] == published[1:]
        older = sse.history("room", 2, before=page.before)
        assert [entry.event.data for entry in older.entries] == published[:1]
        with sse.subscribe("room", page.cursor) as subscription:
            sse.send_event("room", "next")
            assert data_of(subscription, 1) == ["next"]
