"""What other processes do for the contract, each an action of `processes`; and what both sides do alike."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from contextlib import suppress

from ..broker import AppendsLast, Broker, Watch
from ..errors import StreamEnded
from ..events import Entry, Page
from ..ids import OLDEST
from .processes import Here
from .reading import data_of, events, named_by, read, read_all, rest, tail, wait_for_bell


def append(here: Here, stream_id: str, *data: str) -> list[str]:
    return here.broker.append(stream_id, events(*data))


def append_last(here: Here, stream_id: str, *data: str) -> list[str] | None:
    """Append the last entries; None if others have."""
    assert isinstance(here.broker, AppendsLast)
    try:
        return here.broker.append_last(stream_id, events(*data))
    except StreamEnded:
        return None


def append_until_the_end(here: Here, names: list[str]) -> None:
    """Append to each stream in turn, as fast as possible, until it has ended."""
    here.wait()
    for name in names:
        with suppress(StreamEnded):
            while True:
                here.broker.append(name, events("a"))


def append_under_keys(here: Here, stream_id: str, keys: list[str], at_once: bool = False) -> list[str]:
    """Append an entry under each key. Returns all ids."""
    if at_once:
        here.wait()
    ids: list[str] = []
    for key in keys:
        ids += here.broker.append(stream_id, events("a"), idempotency_key=key)
    return ids


def append_in_order(here: Here, stream_id: str, who: str, count: int) -> None:
    here.wait()
    for n in range(count):
        here.broker.append(stream_id, events(f"{who} {n}"))


def entries(here: Here, stream_id: str, cursor: str = OLDEST) -> list[Entry]:
    return read_all(here.broker, stream_id, cursor)


def tail_of(here: Here, stream_id: str) -> str:
    return tail(here.broker, stream_id)


def end(here: Here, stream_id: str) -> tuple[list[str], bool, str]:
    """End the stream; what a reader of it is told then."""
    here.broker.end(stream_id)
    page = read(here.broker, stream_id)
    return data_of(page.entries), page.ended, page.cursor


def is_refused(here: Here, stream_id: str) -> bool:
    """Whether an append is refused as the stream has ended."""
    try:
        here.broker.append(stream_id, events("refused"))
    except StreamEnded:
        return True
    return False


def hear_of(here: Here, stream_id: str) -> None:
    """Bring a watch to rest; when the test lets go, hear of the stream in time."""
    watch = here.broker.watch()
    watch.add(stream_id)
    rest(watch, here.broker)
    here.wait()
    wait_for_bell(watch, stream_id, within=here.broker.rings_within)


def echo(here: Here, question: str, answer: str, rounds: int, seconds: float) -> None:
    """Append to `answer` whatever comes in `question`, bell by bell; after so many seconds end it."""
    broker, watch = here.broker, here.broker.watch()
    watch.add(question)
    rest(watch, broker)
    here.wait()
    over = time.monotonic() + seconds
    cursor = OLDEST
    for _ in range(rounds):
        page = next_page(broker, watch, question, cursor)
        cursor = page.cursor
        if time.monotonic() > over:
            broker.end(answer)
            return
        broker.append(answer, events(*data_of(page.entries)))


def hears_each(here: Here, to_grow: list[str], to_hear: list[str]) -> list[str]:
    """Append to some streams, and hear of others meanwhile. Returns those never heard of."""
    broker, watch = here.broker, here.broker.watch()
    for name in to_hear:
        watch.add(name)
    rest(watch, broker)
    here.wait()
    left = iter(to_grow)
    missed = set(to_hear)
    for names in iter(lambda: list(itertools.islice(left, 10)), []):
        append_to_each(broker, names)
        missed -= have_grown(broker, named_by(watch, 0))
    return hear_all(broker, watch, missed)


def append_to_each(broker: Broker, names: Iterable[str]) -> None:
    for name in names:
        broker.append(name, events("a"))


def hear_all(broker: Broker, watch: Watch, names: Iterable[str]) -> list[str]:
    """Hear of each of these, and find it grown. Returns those that were not heard of in time.

    A stream that is named before it has grown has to be named again.
    """
    missed = set(names)
    end = time.monotonic() + broker.rings_within
    while missed and (left := end - time.monotonic()) > 0:
        if grown := missed & have_grown(broker, named_by(watch, left)):
            missed -= grown
            end = time.monotonic() + broker.rings_within  # the other process goes on
    return sorted(missed)


def have_grown(broker: Broker, names: Iterable[str]) -> set[str]:
    """Those of the streams that have entries."""
    pages = broker.read(dict.fromkeys(names, OLDEST), 1)
    return {name for name, page in pages.items() if page.entries}


def next_page(broker: Broker, watch: Watch, stream_id: str, cursor: str) -> Page:
    """What comes after the cursor, read when the watch has named the stream, and not before."""
    end = time.monotonic() + broker.rings_within
    while (left := end - time.monotonic()) > 0:
        if stream_id in named_by(watch, left):
            page = read(broker, stream_id, cursor)
            if page.entries or page.ended:
                return page
    raise AssertionError(
        f"the watch never named {stream_id!r}, or only when there was nothing to be read yet, within "
        f"{broker.rings_within:g} s"
    )


def append_batches(here: Here, stream_id: str, size: int) -> None:
    """Append batches for ever, each under a key of its own; tell of each that has been acknowledged."""
    for n in itertools.count():
        here.tell(n)
        here.broker.append(
            stream_id, events(*[f"{n} {part}" for part in range(size)]), idempotency_key=f"{n}"
        )


def end_streams(here: Here, beginning: str) -> None:
    """Append to streams and end them, for ever; tell of each that is begun."""
    for n in itertools.count():
        here.tell(n)
        here.broker.append(f"{beginning}{n}", events("a"))
        here.broker.end(f"{beginning}{n}")
