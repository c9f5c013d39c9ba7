"""Where clients begin, and what was there before: the same on every backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from streamy_core import BEGINNING, GAP, Last, Since, StreamManager
from streamy_core.engine.earlier import MAX_HISTORY

from ..conftest import NewManager

KEPT: Final = 10
"""Entries of a stream, and as many again at most until it is trimmed."""
NOW: Final = "now"


@pytest.fixture
def sse(new_manager: NewManager, url: str) -> Iterator[StreamManager]:
    """It keeps few entries."""
    with new_manager(url, history=KEPT) as sse:
        yield sse


def publish(sse: StreamManager, stream: str, count: int) -> list[str]:
    for number in range(count):
        sse.send_event(stream, str(number))
    return [str(number) for number in range(count)]


def begun(sse: StreamManager, streams: Any, after: Any) -> list[str]:
    """What comes first to who begins there, up to an event that is published then to each stream."""
    names = [streams] if isinstance(streams, str) else streams
    with sse.subscribe(streams, after) as subscription:
        for name in names:
            sse.send_event(name, NOW)
        entries = []
        while entries.count(NOW) < len(names):
            entry = subscription.next(10)
            assert entry is not None, f"only {entries} came"
            entries.append(GAP if entry.event.name == GAP else entry.event.data)
    return [entry for entry in entries if entry != NOW]


def read_by_pages(sse: StreamManager, stream_id: str, size: int) -> list[str]:
    """The data of a stream's whole history, from its newest page back to its oldest."""
    history = sse.history(stream_id, size)
    found = list(history.entries)
    while history.before is not None:
        history = sse.history(stream_id, size, before=history.before)
        found = [*history.entries, *found]
    return [entry.event.data for entry in found]


class StartPromises:
    """A subclass has fixtures `url` and `new_manager`."""

    def test_last_begins_with_so_many_of_the_newest_entries_of_each_stream(self, sse: StreamManager) -> None:
        publish(sse, "one", 5)
        publish(sse, "two", 3)
        assert begun(sse, "one", Last(2)) == ["3", "4"]
        sse.send_event("other", "a")
        assert begun(sse, ["two", "other", "nobody"], Last(2)) == ["1", "2", "a"]

    def test_last_is_no_gap_however_few_entries_are_left(self, sse: StreamManager) -> None:
        published = publish(sse, "news", 100)
        entries = begun(sse, "news", Last(1_000))
        assert entries == published[-len(entries) :]

    def test_since_begins_with_what_was_published_within_so_many_seconds(self, sse: StreamManager) -> None:
        assert publish(sse, "news", 3) == begun(sse, "news", Since(600))

    def test_the_beginning_is_the_first_entry_as_long_as_that_is_kept(self, sse: StreamManager) -> None:
        published = publish(sse, "news", 5)
        assert begun(sse, "news", BEGINNING) == published
        assert begun(sse, "nobody", BEGINNING) == []

    def test_a_beginning_that_is_gone_is_told_as_a_gap(self, sse: StreamManager) -> None:
        kept = publish(sse, "news", 100)[-2 * KEPT :]
        with sse.subscribe("news", BEGINNING) as subscription:
            gap, entry = subscription.next(10), subscription.next(10)
        assert gap is not None
        assert gap.event.name == GAP
        assert entry is not None
        assert entry.event.data in kept

    def test_a_stream_that_has_ended_begins_alike(self, sse: StreamManager) -> None:
        published = publish(sse, "news", 5)
        sse.end_stream("news")
        for after, expected in ((BEGINNING, published), (Last(2), published[-2:])):
            with sse.subscribe("news", after) as entries:
                assert [entry.event.data for entry in entries] == expected

    def test_a_history_is_the_newest_entries_and_goes_on_live_without_hole_or_overlap(
        self, sse: StreamManager
    ) -> None:
        publish(sse, "news", 5)
        history = sse.history("news", 3)
        assert [entry.event.data for entry in history.entries] == ["2", "3", "4"]
        assert begun(sse, "news", history.cursor) == []

    def test_older_pages_lead_back_to_the_oldest_entry(self, new_manager: NewManager, url: str) -> None:
        sse = new_manager(url)
        published = publish(sse, "news", 25)
        assert read_by_pages(sse, "news", 10) == published
        older = sse.history("news", 10, before=sse.history("news", 10).before)
        assert len(older.entries) == 10

    def test_the_history_of_what_is_not_there_is_empty_and_goes_on_live(self, sse: StreamManager) -> None:
        for history in (sse.history("nobody"), sse.history("nobody", before="x")):
            assert (history.entries, history.before) == ((), None)
            sse.send_event("nobody", "a")
            assert begun(sse, "nobody", history.cursor)[:1] == ["a"]

    def test_what_lies_before_an_entry_that_is_gone_is_nothing(self, sse: StreamManager) -> None:
        ids = [sse.send_event("news", str(number)) for number in range(100)]
        kept = [entry.id for entry in sse.history("news", 2 * KEPT).entries]
        for gone in (*ids[: ids.index(kept[0])], "", sse.cursor("nobody")):
            assert sse.history("news", 3, before=gone).entries == (), gone
        assert sse.history("news", 3, before=kept[0]).entries == ()
        assert [entry.id for entry in sse.history("news", 3, before=kept[1]).entries] == kept[:1]

    def test_a_page_never_has_what_lies_after_it_while_the_stream_is_trimmed(
        self, sse: StreamManager
    ) -> None:
        publish(sse, "news", KEPT)
        for count in range(3 * KEPT):  # until all of the page is gone, and before
            newest = sse.history("news", 3)
            publish(sse, "news", count)
            older = sse.history("news", 3, before=newest.before)
            assert not {entry.id for entry in older.entries} & {entry.id for entry in newest.entries}

    def test_before_the_end_are_the_newest_entries(self, sse: StreamManager) -> None:
        publish(sse, "news", 5)
        sse.end_stream("news")
        with sse.subscribe("news") as entries:
            assert list(entries) == []
        end = sse.broker.read({"news": sse.cursor("news")}, 1)["news"].cursor
        assert [entry.event.data for entry in sse.history("news", 3, before=end).entries] == ["2", "3", "4"]

    @pytest.mark.parametrize(
        "after", [Last(2**63), Last(10**30), Since(1e16), Since(1.7e308), Since(10**400)]
    )
    def test_what_is_more_than_all_is_all(self, sse: StreamManager, after: Any) -> None:
        assert publish(sse, "news", 3) == begun(sse, "news", after)

    def test_a_history_ends_before_the_end(self, sse: StreamManager) -> None:
        published = publish(sse, "news", 3)
        sse.end_stream("news")
        history = sse.history("news")
        assert [entry.event.data for entry in history.entries] == published
        with sse.subscribe("news", history.cursor) as entries:
            assert list(entries) == []

    def test_a_history_is_as_long_as_asked_for(self, new_manager: NewManager, url: str) -> None:
        sse = new_manager(url, history=2 * MAX_HISTORY)
        sse.send_events("news", [str(number) for number in range(MAX_HISTORY + 10)])
        assert len(sse.history("news", MAX_HISTORY).entries) == MAX_HISTORY
