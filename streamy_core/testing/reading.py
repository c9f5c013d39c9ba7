"""Reading a broker in tests: whole logs, and conditions that come true within a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from functools import partial
from typing import Any

from ..broker import Broker, Watch
from ..events import Entry, Event, Page
from ..ids import OLDEST

DEADLINE = 10.0
"""Seconds after which something that should have happened has not."""
WAKES_WITHIN = 1.0
"""Seconds within which `interrupt` and `close` wake a `wait`, as `Watch` promises."""


def events(*data: str) -> list[Event]:
    """An event for each text."""
    return [Event(text) for text in data]


def read(
    broker: Broker, stream_id: str, cursor: str = OLDEST, limit: int = 1_000, max_bytes: int | None = None
) -> Page:
    """One page of one stream."""
    pages = broker.read({stream_id: cursor}, limit, max_bytes)
    assert stream_id in (pages or {}), "read returns a Page for every stream asked for"
    return pages[stream_id]


def tail(broker: Broker, stream_id: str) -> str:
    """The cursor "from now on" of one stream."""
    tails = broker.tail([stream_id])
    assert stream_id in (tails or {}), "tail returns a cursor for every stream asked for"
    return tails[stream_id]


def read_all(broker: Broker, stream_id: str, cursor: str = OLDEST, limit: int = 1_000) -> list[Entry]:
    """Every entry after the cursor, page by page. A gap fails the test."""
    found: list[Entry] = []
    while True:
        page = read(broker, stream_id, cursor, limit)
        assert not page.gap, f"a gap after {cursor!r} that nothing has caused"
        if not page.entries:
            assert not page.more, f"after {cursor!r} a page without entries says that there are more"
            return found
        again = {entry.id for entry in found} & {entry.id for entry in page.entries}
        assert not again, f"entries come twice, again after {cursor!r}: {sorted(again)[:3]}"
        found += page.entries
        cursor = page.cursor


def data_of(entries: list[Entry] | tuple[Entry, ...]) -> list[str]:
    """The entries' data, in order."""
    return [entry.event.data for entry in entries]


def rest(watch: Watch, broker: Broker) -> None:
    """Bring the watch to rest: wait until it names nothing for as long as the broker declares."""
    end = time.monotonic() + DEADLINE
    while named_by(watch, broker.quiet_for):
        assert time.monotonic() < end, "a watch of a silent stream never stops ringing"


def wait_for_bell(watch: Watch, *stream_ids: str, within: float | None = None) -> None:
    """Wait until the watch has named all of these streams; fail after so many seconds, or the deadline."""
    missing = set(stream_ids)
    within = DEADLINE if within is None else within
    end = time.monotonic() + within
    while missing and (left := end - time.monotonic()) > 0:
        missing -= named_by(watch, left)
    assert not missing, f"the watch never named {sorted(missing)}, which have grown, within {within:g} s"


def named_by(watch: Watch, timeout: float) -> set[str]:
    """What a `wait` of so many seconds names, which returns when they are over."""
    waiting = in_a_thread(partial(watch.wait, timeout))
    finish(waiting, f"the return of wait({timeout:.3g})")
    named: Any = waiting.result()
    names: Any = named
    assert isinstance(named, Collection), f"wait returned {names!r}, and no collection of names"
    return set(names)


def eventually(condition: Callable[[], object], what: str, *, within: float | None = None) -> None:
    """Wait until `condition()` is true; fail after so many seconds, or the deadline, saying `what` has not
    happened."""
    within = DEADLINE if within is None else within
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {within:g} s"
        time.sleep(0.002)


def in_a_thread(call: Callable[[], object]) -> Future[object]:
    """The outcome of a call, made by a thread that holds nobody up, should the call never return."""
    outcome: Future[object] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - whoever asks for the outcome gets it
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome


def finish(outcome: Future[object], what: str, within: float | None = None) -> None:
    """Wait for the outcome of a call; fail after so many seconds (by itself twice the deadline), saying
    `what` has not happened."""
    within = 2 * DEADLINE if within is None else within
    try:
        outcome.result(within)
    except TimeoutError:
        if outcome.done():
            raise
        raise AssertionError(f"{what}: not within {within:g} s") from None
