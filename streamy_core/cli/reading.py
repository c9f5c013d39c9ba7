"""`flask streamy tail` and `flask streamy streams`."""

from __future__ import annotations

import errno
import json
import select
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

import click

from ..binding import Binding
from ..broker import ListsStreams
from ..engine.subscription import Subscription
from ..errors import ConfigError
from ..events import Entry, is_internal
from ..ids import OLDEST
from ..starts import Last, Since, Start
from .bound import with_binding
from .shell import SIGNALS_WAIT, one_line, say, say_table


@click.command()
@click.argument("stream_ids", metavar="STREAM...", nargs=-1, required=True)
@click.option("--after", metavar="CURSOR", help="Begin after this id, and not from now on.")
@click.option("--all", "from_oldest", is_flag=True, help="Begin with the oldest entry that is left.")
@click.option(
    "--last", type=click.IntRange(min=1), metavar="N", help="Begin with the newest N entries of each."
)
@click.option(
    "--since",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Begin with what is no older.",
)
@click.option("-n", "most", type=click.IntRange(min=1), metavar="N", help="Stop after so many entries.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object per line.")
@with_binding
def tail(
    binding: Binding,
    stream_ids: Sequence[str],
    after: str | None,
    from_oldest: bool,
    last: int | None,
    since: float | None,
    most: int | None,
    as_json: bool,
) -> None:
    """Follow each STREAM until all have ended.

    Entries are written as they come, a line each: id, stream, name and data, with tabs in between.
    """
    starts: tuple[Start | None, ...] = (
        after,
        OLDEST if from_oldest else None,
        None if last is None else Last(last),
        None if since is None else Since(since),
    )
    given = [start for start in starts if start is not None]
    if len(given) > 1:
        raise click.UsageError("give one of --after, --all, --last and --since")
    with binding.engine.subscribe(stream_ids, *given) as entries:
        abandoned = _close_when_nobody_reads(entries)
        for entry in islice(_each(entries), most):
            say(_as_json(entry) if as_json else _as_text(entry))
        if abandoned.is_set():
            raise BrokenPipeError(errno.EPIPE, "standard output has been closed")


@click.command()
@with_binding
def streams(binding: Binding) -> None:
    """List the streams that the broker knows."""
    if not isinstance(binding.broker, ListsStreams):
        raise ConfigError(f"{type(binding.broker).__name__} can't list its streams")
    say_table(
        ("STREAM", "ENTRIES", "LAST ID", "ENDED"),
        [
            (info.stream_id, str(info.entries), info.last, "yes" if info.ended else "no")
            for info in binding.broker.streams()
            if not is_internal(info.stream_id)
        ],
    )


def _each(entries: Subscription) -> Iterator[Entry]:
    """The entries as they come, in waits so short that Ctrl-C is heeded."""
    while True:
        if (entry := entries.next(SIGNALS_WAIT)) is not None:
            yield entry
        elif entries.closed:
            return


def _close_when_nobody_reads(entries: Subscription) -> threading.Event:
    """Close `entries` once standard output is a pipe without a reader, and set the event.

    Writing would tell so too, but on a quiet stream only hours later.
    """
    abandoned = threading.Event()
    with suppress(OSError, AttributeError):  # not every output has a descriptor, not every system poll
        output = select.poll()
        output.register(sys.stdout.fileno(), 0)  # errors and hang-ups are always told

        def close_then() -> None:
            output.poll()
            abandoned.set()
            entries.close()

        threading.Thread(target=close_then, name="streamy-output", daemon=True).start()
    return abandoned


def _as_text(entry: Entry) -> str:
    event = entry.event
    return "\t".join(map(one_line, (entry.id, entry.stream_id, event.name or "message", event.data)))


def _as_json(entry: Entry) -> str:
    event = entry.event
    return json.dumps(
        {
            "id": entry.id,
            "stream": entry.stream_id,
            "name": event.name,
            "data": event.data,
            "retry": event.retry,
        }
    )
