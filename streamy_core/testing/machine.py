"""`BrokerMachine`: histories of calls that nobody would write, held against a plain list per stream.

Needs Hypothesis: `pip install hypothesis`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from ..broker import Broker
from ..errors import Closed, StreamEnded
from ..events import Event, Page
from ..ids import OLDEST
from .basis import STRANGE_CURSORS, MakeBroker
from .oracle import Stream, check_gap
from .reading import read, tail

try:
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis import strategies as st
    from hypothesis.stateful import (
        Bundle,
        RuleBasedStateMachine,
        multiple,
        precondition,
        rule,
        run_state_machine_as_test,
    )
except ImportError as _missing:
    raise ImportError("BrokerMachine needs Hypothesis: pip install hypothesis") from _missing


class Cursor(NamedTuple):
    """One that a stream has handed out."""

    stream: str
    id: str


_HISTORY: Final = 5
_MOST: Final = 1_000
_NAMES: Final = st.sampled_from(["news", "job"])
_COUNTS: Final = st.sampled_from([2, 3, 0, _HISTORY + 1])
_KEYS: Final = st.sampled_from(["key", "other key"])
_LIMITS: Final = st.sampled_from([_MOST, 1, 2, 3])
_BYTES: Final = st.sampled_from([None, None, 0, 5])

_NOTHING: Final = multiple(*list[Cursor]())

_CHANGES: Final[Mapping[str, Callable[[str], str]]] = {
    "shorter": lambda cursor: cursor[:-1],
    "longer": lambda cursor: f"{cursor}0",
    "zero before": lambda cursor: f"0{cursor}",
    "zero within": lambda cursor: cursor.replace(".", ".0", 1),
    "further": lambda cursor: re.sub(r"\.(\w)", lambda found: f".{chr(ord(found[1]) + 3)}", cursor, count=1),
    "other case": str.swapcase,
    "next": lambda cursor: f"{cursor[:-1]}{chr(ord(cursor[-1]) + 1)}",
}


@dataclass(frozen=True)
class MachineBackend:
    """Where the machine's brokers are, and what can be done to it while none is open.

    make_broker: as for `BrokerContract`; each script has a log of its own.
    wipe:        deletes all data of the log of this name; None: that can't be done.
    save:        returns a copy of all that is stored of the log.
    restore:     puts such a copy in place of what is stored.
    """

    make_broker: MakeBroker
    wipe: Callable[[str], object] | None = None
    save: Callable[[str], Any] | None = None
    restore: Callable[[str, Any], object] | None = None


class BrokerMachine(RuleBasedStateMachine):
    """A state machine of Hypothesis's that calls brokers as it likes, and knows what they have to say.

    It appends, in batches too and under keys that it repeats, reads from any cursor that it has ever seen
    and from invented ones, trims by a short history, ends, opens brokers anew and beside others, and, if it
    is told how, wipes the backend, and restores an earlier state of it. A failure is shrunk to a script.

        def test_any_history(tmp_path):
            BrokerMachine.check(FromUrl(f"directory://{tmp_path}/{{log}}", from_url))

    Or, to have it as a `unittest.TestCase`: a subclass that says its `backend`, whose `TestCase` it is.
    """

    backend: ClassVar[MachineBackend]
    cursors: Bundle[Cursor] = Bundle("cursors")

    @classmethod
    def check(
        cls,
        make_broker: MakeBroker,
        *,
        wipe: Callable[[str], object] | None = None,
        save: Callable[[str], Any] | None = None,
        restore: Callable[[str, Any], object] | None = None,
        settings: settings | None = None,
    ) -> None:
        """Try out scripts. Raises what one that fails raises, with the script in its notes.

        make_broker, wipe, save, restore: as for `MachineBackend`.
        settings: Hypothesis's, such as how many scripts (`max_examples`) of how many calls
                  (`stateful_step_count`).
        """
        backend = MachineBackend(make_broker, wipe, save, restore)
        machine = type(cls.__name__, (cls,), {"backend": backend})
        run_state_machine_as_test(machine, settings=settings or SETTINGS)

    def __init__(self) -> None:
        super().__init__()
        self._log = f"machine-{secrets.token_hex(8)}"
        self._streams: dict[str, Stream] = {}
        self._lost: set[str] = set()  # ids of histories that are over
        self._count = 0
        self._saved: tuple[Any, dict[str, Stream], int] | None = None
        self._wiped = self._restored = False
        self._brokers = [self._open()]

    # -- writing

    @rule(target=cursors, stream=_NAMES)
    def append(self, stream: str) -> Any:
        """Append an event; returns the cursor that its id is."""
        return self._append(stream, 1, None)

    @rule(target=cursors, stream=_NAMES, count=_COUNTS)
    def append_batch(self, stream: str, count: int) -> Any:
        """Append so many events; returns their cursors."""
        return self._append(stream, count, None)

    @rule(target=cursors, stream=_NAMES, key=_KEYS, count=_COUNTS)
    def append_by_key(self, stream: str, key: str, count: int) -> Any:
        """Append so many events under an idempotency key, perhaps again; returns their cursors."""
        return self._append(stream, count, key)

    @rule()
    def end(self) -> None:
        """End the stream "job", perhaps again. The other never ends, or most scripts would soon be over."""
        self._broker.end("job")
        self._of("job").ended = True
        self._check_all()

    # -- reading

    @rule(target=cursors, cursor=cursors, limit=_LIMITS, max_bytes=_BYTES)
    def read(self, cursor: Cursor, limit: int, max_bytes: int | None) -> Cursor:
        """Read after a cursor that was handed out once; returns the page's."""
        stream, after = cursor
        page = read(self._broker, stream, after, limit, max_bytes)
        self._check(stream, after, page, limit, max_bytes)
        return Cursor(stream, page.cursor)

    @rule(target=cursors, stream=_NAMES, limit=_LIMITS, max_bytes=_BYTES)
    def read_on(self, stream: str, limit: int, max_bytes: int | None) -> Cursor:
        """Read what is left, page by page; returns the last page's cursor."""
        after, more = OLDEST, True
        while more:
            page = read(self._broker, stream, after, limit, max_bytes)
            self._check(stream, after, page, limit, max_bytes)
            after, more = page.cursor, page.more
        return Cursor(stream, after)

    @rule(limit=_LIMITS, max_bytes=_BYTES)
    def read_together(self, limit: int, max_bytes: int | None) -> None:
        """Read both streams at once, each of which has an equal share of the bytes."""
        pages = self._broker.read({"news": OLDEST, "job": OLDEST}, limit, max_bytes)
        for stream in ("news", "job"):
            share = None if max_bytes is None else max_bytes // 2
            self._check(stream, OLDEST, _page_of(stream, pages), limit, share)

    @rule(cursor=cursors)
    def read_elsewhere(self, cursor: Cursor) -> None:
        """Read after another stream's cursor."""
        stream = "job" if cursor.stream == "news" else "news"
        page = read(self._broker, stream, cursor.id)
        self._check(stream, cursor.id, page, _MOST, None)

    @rule(stream=_NAMES, cursor=st.sampled_from(STRANGE_CURSORS))
    def read_invented(self, stream: str, cursor: str) -> None:
        """Read after what is nobody's cursor."""
        page = read(self._broker, stream, cursor)
        self._check_gap(stream, cursor, page, "nobody's cursor")

    @rule(cursor=cursors, change=st.sampled_from(sorted(_CHANGES)))
    def read_almost(self, cursor: Cursor, change: str) -> None:
        """Read after what differs a little from a cursor that was handed out."""
        stream, almost = cursor.stream, _CHANGES[change](cursor.id)
        oracle = self._of(stream)
        if almost in oracle.places or almost in self._used:
            return
        page = read(self._broker, stream, almost)
        if page.gap:
            self._check_gap(stream, almost, page, "nobody's cursor")
        else:  # one that stands before the oldest entry says the truth, whatever it is called
            self._check(stream, OLDEST, page, _MOST, None)

    @rule(target=cursors, stream=_NAMES)
    def tail(self, stream: str) -> Cursor:
        """The cursor "from now on"."""
        cursor = tail(self._broker, stream)
        self._of(stream).check_tail(cursor)
        return Cursor(stream, cursor)

    # -- lives of brokers and of the backend

    @precondition(lambda self: self._brokers[0].shared)
    @rule()
    def reopen(self) -> None:
        """Close a broker, and open another in its place."""
        self._broker.close()
        with suppress(Closed):
            self._broker.tail(["news"])
            raise AssertionError("a broker that was closed raises Closed")
        self._brokers[0] = self._open()
        self._check_all()

    @precondition(lambda self: self._brokers[0].shared and len(self._brokers) == 1)
    @rule()
    def open_another(self) -> None:
        """Open a second broker beside the first, as another process would."""
        self._brokers.append(self._open())
        self._check_all()

    @precondition(lambda self: len(self._brokers) > 1)
    @rule()
    def switch(self) -> None:
        """Call the other broker from now on."""
        self._brokers.reverse()

    @precondition(lambda self: self.backend.wipe is not None and not self._wiped)
    @rule()
    def wipe(self) -> None:
        """Delete all data, as an operator would."""
        self._close_all()
        assert self.backend.wipe is not None
        self.backend.wipe(self._log)
        for oracle in self._streams.values():
            self._lost |= oracle.ids
        self._streams = {name: Stream(_HISTORY) for name in self._streams}
        self._wiped = True
        self._brokers = [self._open()]
        self._check_all()

    @precondition(lambda self: self.backend.save is not None and self._count > 0 and self._saved is None)
    @rule()
    def save(self) -> None:
        """Take a copy of what is stored."""
        self._close_all()
        assert self.backend.save is not None
        streams = {name: oracle.copy() for name, oracle in self._streams.items()}
        self._saved = self.backend.save(self._log), streams, self._count
        self._brokers = [self._open()]

    @precondition(lambda self: self.backend.restore is not None and self._has_gone_on and not self._restored)
    @rule()
    def restore(self) -> None:
        """Go back to the copy: what came after it has never been."""
        assert self.backend.restore is not None
        assert self._saved is not None
        self._close_all()
        copied, streams, _ = self._saved
        self._restored = True
        self.backend.restore(self._log, copied)
        before = self._used
        self._streams = streams
        self._lost |= before
        for oracle in streams.values():
            self._lost -= oracle.ids
        self._brokers = [self._open()]
        self._check_all()

    def teardown(self) -> None:
        """Close what is open."""
        self._close_all()

    # -- what the rules share

    def _open(self) -> Broker:
        return self.backend.make_broker(self._log, history=_HISTORY)

    @property
    def _broker(self) -> Broker:
        """The one that is called."""
        return self._brokers[0]

    def _close_all(self) -> None:
        for broker in self._brokers:
            broker.close()

    def _of(self, stream: str) -> Stream:
        return self._streams.setdefault(stream, Stream(_HISTORY))

    def _append(self, stream: str, count: int, key: str | None) -> Any:
        events = [Event(f"{self._count + n}") for n in range(1, count + 1)]
        oracle = self._of(stream)
        try:
            ids = self._broker.append(stream, events, **({} if key is None else {"idempotency_key": key}))
        except StreamEnded:
            oracle.check_refused(count, key)
            return _NOTHING
        if not oracle.check_appended(ids, count, key):
            return _NOTHING
        again = self._used.intersection(ids)
        assert not again, f"ids were used before: {sorted(again)}"
        self._count += count
        oracle.append(stream, ids, events, key)
        self._check_all()
        return multiple(*(Cursor(stream, entry_id) for entry_id in ids))

    @property
    def _has_gone_on(self) -> bool:
        """Whether something was appended since the copy was made."""
        return self._saved is not None and self._count > self._saved[2]

    @property
    def _used(self) -> set[str]:
        """All ids that were ever given."""
        return self._lost.union(*(oracle.ids for oracle in self._streams.values()))

    def _check_all(self) -> None:
        """Every broker reads the whole of each stream that was used."""
        for broker in self._brokers:
            pages = broker.read(dict.fromkeys(self._streams, OLDEST), _MOST)
            for stream in self._streams:
                self._check(stream, OLDEST, _page_of(stream, pages), _MOST, None)

    def _check(self, stream: str, cursor: str, page: Page, limit: int, max_bytes: int | None) -> None:
        """The page is what lies after the cursor, whatever that is."""
        oracle = self._of(stream)
        if cursor == oracle.end:
            oracle.check_end(page)
        elif cursor == OLDEST or cursor in oracle.places:
            start = oracle.start_after(cursor, page)
            if start is None:
                self._check_gap(stream, cursor, page, "a cursor whose entries are gone")
            else:
                oracle.check_page(cursor, page, start, limit, max_bytes)
        elif cursor in self._used:
            self._check_gap(stream, cursor, page, "an id of another stream's, or of a history that is over")

    def _check_gap(self, stream: str, cursor: str, page: Page, why: str) -> None:
        """The page is a gap, whose cursor leads on to the oldest entry that is left."""
        check_gap(cursor, page, why)
        rest = read(self._broker, stream, page.cursor)
        assert not rest.gap, f"after a gap's cursor, {page.cursor!r}, there is a gap again"
        oracle = self._of(stream)
        start = oracle.start_after(OLDEST, rest) or 0
        oracle.note_place(page.cursor, start)
        oracle.check_page(page.cursor, rest, start, _MOST, None)


def _page_of(stream: str, pages: Mapping[str, Page]) -> Page:
    assert stream in pages, "read returns a Page for every stream asked for"
    return pages[stream]


SETTINGS: Final = settings(
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much),
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
"""What is tried unless others are given: Hypothesis's own numbers, and no limit to what a call takes."""
