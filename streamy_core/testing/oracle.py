"""What a log has to hold, as a plain list: the oracle of `BrokerMachine`. It knows nothing of Hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from ..broker import Duplicate, bounded
from ..events import Entry, Event, Page
from ..ids import ID, OLDEST


@dataclass
class Stream:
    """One stream, since it began.

    entries: all that was ever appended, oldest first.
    gone:    so many of them, from the oldest, are known to have been trimmed.
    keys:    the ids that were stored under each idempotency key.
    places:  for each cursor that was ever handed out, how many entries lie at or before it.
    end:     the end's id, once it is known.
    """

    history: int
    entries: list[Entry] = field(default_factory=list[Entry])
    gone: int = 0
    keys: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    places: dict[str, int] = field(default_factory=dict[str, int])
    ended: bool = False
    end: str | None = None

    @property
    def must_be_gone(self) -> int:
        """So many entries, from the oldest, can't be there any more."""
        return max(self.gone, len(self.entries) - 2 * self.history)

    @property
    def may_be_gone(self) -> int:
        """So many, at most, may have been trimmed."""
        return max(0, len(self.entries) - self.history)

    def note_place(self, cursor: str, place: int) -> None:
        """A cursor was handed out that so many entries lie at or before."""
        assert ID.fullmatch(cursor), f"a cursor is [A-Za-z0-9._-], 1 to 128 bytes, and not {cursor!r}"
        known = self.places.setdefault(cursor, place)
        assert known == place, f"{cursor!r} stood after {known} entries, and now stands after {place}"

    def start_after(self, cursor: str, page: Page) -> int | None:
        """How many entries, from the oldest, this page has left out as it should; None: it is rightly a gap.

        cursor: one that this stream has handed out, or OLDEST.
        """
        if cursor == OLDEST:
            assert not page.gap, "OLDEST is never a gap"
            return self._oldest_in(page)
        place = self.places[cursor]
        if not page.gap:
            # A broker may still have what it gives nobody any more who begins with the oldest.
            assert not page.entries or self.places.get(page.entries[0].id, 0) <= place + 1, (
                f"what came right after {cursor!r} has been trimmed, and its reader isn't told of a gap: "
                f"after it come {_data(page.entries)}"
            )
            return place
        assert place < self.may_be_gone, f"a gap after {cursor!r}, and all that lies after it has to be kept"
        self.gone = max(self.gone, place + 1)
        return None

    def check_page(self, cursor: str, page: Page, start: int, limit: int, max_bytes: int | None) -> None:
        """The page holds what lies after `start` entries, within its bounds, and says so."""
        expected = bounded(self.entries[start:], limit, max_bytes)
        assert page.entries == expected, (
            f"after {cursor!r}, with limit={limit} and max_bytes={max_bytes}, come {_data(page.entries)}, "
            f"where {_data(expected)} should"
        )
        more = start + len(expected) < len(self.entries)
        assert page.more is more, f"after {cursor!r} a page says more={page.more}, where it is {more}"
        ended = self.ended and not more
        assert page.ended is ended, f"after {cursor!r} a page says ended={page.ended}, where it is {ended}"
        if ended:
            self._note_end(page.cursor)
        elif expected:
            assert page.cursor == expected[-1].id, "a page's cursor is the id of its last entry"
        else:
            assert cursor in (OLDEST, page.cursor), f"after {cursor!r} is nothing, and yet {page.cursor!r}"
            self.note_place(page.cursor, start)

    def check_end(self, page: Page) -> None:
        """What lies after the end's own id."""
        assert page == Page((), self.end or "", ended=True), f"after the end's own id comes {_told(page)}"

    def check_tail(self, cursor: str) -> None:
        """What lies after it is what comes from now on."""
        assert cursor != self.end, "the tail of a stream that has ended lies before its end"
        self.note_place(cursor, len(self.entries))

    def check_refused(self, count: int, key: str | None) -> None:
        """Whether an append was rightly refused, since the stream has ended."""
        assert self.ended, "StreamEnded, and nobody has ended the stream"
        assert count, "an append of nothing does nothing, also after the end"
        assert key not in self.keys, f"the key {key!r} was used before: it is answered after the end, too"

    def check_appended(self, ids: Sequence[str], count: int, key: str | None) -> bool:
        """Whether an append that was not refused has stored something, as it should."""
        if not count:
            assert list(ids) == [], "an append of nothing returns no ids"
            return False
        if key in self.keys:
            assert list(ids) == self.keys[key], (
                f"the key {key!r} stored {self.keys[key]} before, and now returns {list(ids)}"
            )
            return False
        assert not self.ended, "a stream that has ended takes no more"
        assert not isinstance(ids, Duplicate), "an append that stored something is called a Duplicate"
        assert len(ids) == count, f"an append of {count} events returned {len(ids)} ids"
        return True

    def append(self, stream_id: str, ids: Sequence[str], events: Sequence[Event], key: str | None) -> None:
        """This was stored."""
        for entry_id, event in zip(ids, events, strict=True):
            self.entries.append(Entry(entry_id, stream_id, event))
            self.note_place(entry_id, len(self.entries))
        if key is not None:
            self.keys[key] = list(ids)

    def copy(self) -> Stream:
        """As it is now."""
        return deepcopy(self)

    @property
    def ids(self) -> set[str]:
        """Those of all entries, and of the end."""
        ids = {entry.id for entry in self.entries}
        return ids if self.end is None else {*ids, self.end}

    def _oldest_in(self, page: Page) -> int:
        """Where what is left begins."""
        start = len(self.entries)
        if page.entries:
            first = page.entries[0].id
            assert self.places.get(first, 0) > 0, f"the oldest entry, {first!r}, was never appended"
            start = self.places[first] - 1
        assert start <= self.may_be_gone, (
            f"of {len(self.entries)} entries {len(self.entries) - start} are left, where at least "
            f"{self.history} have to be kept"
        )
        assert start >= self.must_be_gone, f"entries are there again, or still: {_data(page.entries)}"
        self.gone = max(self.gone, start)
        return start

    def _note_end(self, cursor: str) -> None:
        assert ID.fullmatch(cursor), f"the end's id is [A-Za-z0-9._-], 1 to 128 bytes, and not {cursor!r}"
        assert cursor not in self.places, f"the end has no id of its own: {cursor!r} is another place's"
        assert self.end in (None, cursor), f"the end was {self.end!r}, and now is {cursor!r}"
        self.end = cursor


def check_gap(cursor: str, page: Page, why: str) -> None:
    """The page is a gap, and nothing else."""
    assert page.gap, f"{cursor!r} is {why}, and its reader isn't told of a gap: after it came {_told(page)}"
    assert (page.entries, page.ended, page.more) == ((), False, False), "a gap comes alone"


def _data(entries: Sequence[Entry]) -> list[str]:
    return [entry.event.data for entry in entries]


def _told(page: Page) -> str:
    return f"{_data(page.entries)}{' and the end' * page.ended}{' and a gap' * page.gap}"
