"""Somebody else's broker hands over what it shouldn't: it is met at the door, and spoils itself only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core import END, GAP, Entry, Event, StreamManager
from streamy_core.broker import OLDEST, DamagedEvent, Page
from streamy_core.events import CONTROL
from streamy_core.observers import GapCause, Observer
from streamy_core.testing.reading import eventually
from streamy_core.wire import encode_id

from .reading import BAD, OTHERS, assert_others_come, connect, errors_of, publish_to_others, said, taken


class Text(str):
    """A text that says of itself what it likes."""

    def __format__(self, spec: str) -> str:
        return "\n\ndata: forged"

    def __contains__(self, other: object) -> bool:
        return False

    __str__ = __repr__ = lambda self: "\n\ndata: forged"  # type: ignore[assignment]


class ForeignBroker(MemoryBroker):
    """A memory broker whose pages and cursors of the stream "bad" are changed on their way.

    change: of each page; change_tail: of each cursor "from now on".
    """

    change: Callable[[Page], Any] = staticmethod(lambda page: page)
    change_tail: Callable[[str], Any] = staticmethod(lambda cursor: cursor)

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        pages = dict(super().read(cursors, limit, max_bytes))
        return {name: self.change(page) if name == BAD else page for name, page in pages.items()}

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        tails = super().tail(stream_ids)
        return {name: self.change_tail(tail) if name == BAD else tail for name, tail in tails.items()}


@pytest.fixture
def broker() -> Iterator[ForeignBroker]:
    with ForeignBroker() as broker:
        yield broker


class Heard(Observer):
    def __init__(self) -> None:
        self.gaps: list[tuple[str, GapCause]] = []
        self.damages: list[tuple[str, str | None]] = []

    def gap(self, stream_id: str, cursor: str, goes_on: str, cause: GapCause) -> None:
        self.gaps.append((stream_id, cause))

    def damaged(self, stream_id: str, entry_id: str | None, reason: str) -> None:
        assert reason
        self.damages.append((stream_id, entry_id))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def sse(broker: ForeignBroker, heard: Heard) -> Iterator[StreamManager]:
    with StreamManager(broker=broker, observers=[heard]) as sse:
        yield sse


def entries_changed(change: Callable[[Entry], Any]) -> Callable[[Page], Page]:
    """Change each entry that says "evil"."""

    def change_page(page: Page) -> Page:
        entries = [change(entry) if entry.event.data == "evil" else entry for entry in page.entries]
        last = page.entries[-1].id if page.entries else page.cursor
        return page._replace(entries=tuple(entries), cursor=last if not page.ended else page.cursor)

    return change_page


def event_with(**values: object) -> Event:
    """An event that nobody has looked at."""
    event = Event("")
    for name, value in values.items():
        object.__setattr__(event, name, value)
    return event


DAMAGED: Final[dict[str, Callable[[Entry], Any]]] = {
    "is said to be damaged": lambda entry: entry._replace(event=DamagedEvent(reason="it is")),
    "event is None": lambda entry: entry._replace(event=None),
    "event is a text": lambda entry: entry._replace(event="evil"),
    "is named as an end": lambda entry: entry._replace(event=Event("evil", END)),
    "is named as a gap": lambda entry: entry._replace(event=Event("evil", GAP)),
    "is named as what Streamy may send one day": lambda entry: entry._replace(event=Event("", "streamy.x")),
    "is another stream's": lambda entry: entry._replace(stream_id=OTHERS[0]),
    "is the commands'": lambda entry: entry._replace(stream_id=CONTROL),
}
WITHOUT_ID: Final[dict[str, Callable[[Entry], Any]]] = {
    "None": lambda entry: None,
    "a tuple of another shape": lambda entry: ("a", "b"),
    "id is None": lambda entry: entry._replace(id=None),
    "id has a line break": lambda entry: entry._replace(id=f"{entry.id}\ndata: forged\n\n"),
    "id ends with a line break": lambda entry: entry._replace(id=f"{entry.id}\n"),
    "id is a number": lambda entry: entry._replace(id=7),
    "id is bytes": lambda entry: entry._replace(id=entry.id.encode()),
    "id is a text that says something else": lambda entry: entry._replace(id=Text(entry.id)),
    "id is a joint cursor": lambda entry: entry._replace(id="_ab05hello"),
    "id is longer than any": lambda entry: entry._replace(id="x" * 129),
    "id is empty": lambda entry: entry._replace(id=""),
}


def each(cases: Mapping[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("change", cases.values(), ids=list(cases))


def published_and_taken(sse: StreamManager, *data: str) -> tuple[list[str], list[Entry]]:
    """The ids of what was published, and three entries that came of it. Fails if the others have to wait."""
    with sse.subscribe(BAD) as bad, sse.subscribe(OTHERS) as others:
        ids = sse.send_events(BAD, data)
        publish_to_others(sse)
        assert_others_come(others)
        return ids, taken(bad, 3)


@each(DAMAGED)
def test_an_entry_that_can_t_be_passed_on_is_a_gap_up_to_it(
    sse: StreamManager, broker: ForeignBroker, heard: Heard, change: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broker.change = entries_changed(change)
    (before, damaged, after), entries = published_and_taken(sse, "before", "evil", "after")
    assert [entry.id for entry in entries] == [before, damaged, after]
    assert [entry.event.name for entry in entries] == [None, GAP, None]
    assert entries[1].event.data == f'{{"stream": "bad", "from": "{before}", "to": "{damaged}"}}'
    assert heard.damages == [(BAD, damaged)]
    assert heard.gaps == [(BAD, GapCause.DAMAGED)]
    (error,) = errors_of(caplog)
    assert repr(BAD) in error
    assert repr(damaged) in error
    assert sse.health.damaged == 1
    assert not sse.health.failures


@each(WITHOUT_ID)
def test_what_has_no_id_to_go_on_after_is_skipped_with_the_next_that_has_one(
    sse: StreamManager, broker: ForeignBroker, heard: Heard, change: Any, caplog: pytest.LogCaptureFixture
) -> None:
    broker.change = entries_changed(change)
    (before, _, after, last), entries = published_and_taken(sse, "before", "evil", "after", "last")
    assert [entry.id for entry in entries] == [before, after, last]
    assert [entry.event.name for entry in entries] == [None, GAP, None]
    assert heard.gaps == [(BAD, GapCause.DAMAGED)]
    assert len(errors_of(caplog)) == sse.health.damaged == 1
    assert not sse.health.failures


@each({**DAMAGED, **WITHOUT_ID})
def test_a_new_client_is_answered_and_gets_the_others(
    sse: StreamManager, broker: ForeignBroker, change: Any
) -> None:
    sse.send_events(BAD, ["before", "evil", "evil", "after", "last"])
    sse.end_stream(BAD)
    broker.change = entries_changed(change)
    with connect(sse, BAD, after=OLDEST) as client:
        found = [(event.type, event.data) for event in client.read_to_end()]
    assert found[0] == ("message", "before")
    assert found[-2:] == [("message", "last"), (END, '{"stream": "bad"}')]
    assert {kind for kind, _ in found[1:-2]} <= {GAP, "message"}
    assert not {data for _, data in found} & {"evil", "forged"}


@pytest.mark.parametrize("clients", [1, 50])
def test_a_damaged_entry_is_counted_and_logged_once_however_many_read_it(
    sse: StreamManager, broker: ForeignBroker, clients: int, caplog: pytest.LogCaptureFixture
) -> None:
    sse.send_events(BAD, ["before", "evil", "after"])
    broker.change = entries_changed(DAMAGED["event is None"])
    for _ in range(clients):
        with sse.subscribe(BAD, after=OLDEST) as bad:
            assert said(bad, 3) == ["before", GAP, "after"]
    assert len(errors_of(caplog)) == sse.health.damaged == 1


PAGES: Final[dict[str, Callable[[Page], Any]]] = {
    "None": lambda page: None,
    "a list": lambda page: list(page.entries),
    "cursor is None": lambda page: page._replace(cursor=None),
    "cursor has a line break": lambda page: page._replace(cursor="a\ndata: forged\n\n"),
    "cursor is a text that says something else": lambda page: page._replace(cursor=Text(page.cursor)),
    "entries are None": lambda page: page._replace(entries=None, gap=False),
    "an end without an id": lambda page: page._replace(ended=True, cursor=""),
    "a gap to the oldest": lambda page: page._replace(entries=(), gap=True, cursor=""),
    "a gap to nowhere": lambda page: page._replace(entries=(), gap=True, cursor="\n"),
}


@each(PAGES)
@pytest.mark.parametrize("after", [None, OLDEST, "a\ndata: forged", "\ud800"])
def test_a_page_that_is_none_stops_its_own_stream_only(
    sse: StreamManager, broker: ForeignBroker, change: Any, after: str | None
) -> None:
    sse.send_events(BAD, ["before"])
    broker.change = change
    with sse.subscribe(BAD, after=after) as bad, sse.subscribe(OTHERS) as others:
        sse.send_event(BAD, "while it is broken")
        publish_to_others(sse)
        assert_others_come(others)
        eventually(lambda: sse.health.damaged, "it is counted")
        assert not sse.health.failures
        with connect(sse, [BAD, *OTHERS[:2]], after=after):
            pass
        broker.change = lambda page: page
        sse.send_event(BAD, "mended")
        while said(bad, 1) != ["mended"]:
            pass


@pytest.mark.parametrize("tail", [None, 7, "a\nb", "", Text("a"), "\ud800"], ids=ascii)
def test_a_cursor_that_is_none_is_a_gap(sse: StreamManager, broker: ForeignBroker, tail: object) -> None:
    broker.change_tail = lambda cursor: tail
    sse.send_event(BAD, "before")
    with connect(sse, [BAD, OTHERS[0]]):
        pass
    with sse.subscribe(BAD) as bad:
        sse.send_event(BAD, "after")
        while said(bad, 1) != ["after"]:
            pass


def test_a_text_that_says_something_else_is_published_as_it_is(sse: StreamManager) -> None:
    with sse.subscribe("news") as news:
        sse.send_event("news", Text("a\nb"), Text("name"))
        (entry,) = taken(news, 1)
    assert type(entry.event.data) is type(entry.event.name) is str
    assert (entry.event.data, entry.event.name) == ("a\nb", "name")
    with pytest.raises(ValueError, match="line break"):
        sse.send_event("news", "x", Text("a\nb"))


def test_an_end_that_a_broker_is_made_to_store_ends_nothing(sse: StreamManager) -> None:
    with sse.subscribe(BAD) as bad:
        sse.broker.append(BAD, [Event('{"stream": "bad"}', END), Event("after")])
        assert said(bad, 2) == [GAP, "after"]


def test_a_cursor_of_a_client_that_a_broker_takes_for_its_own_is_never_sent_back() -> None:
    with pytest.raises(ValueError, match="an id consists of"):
        encode_id("e.1.abc\ndata: forged")
