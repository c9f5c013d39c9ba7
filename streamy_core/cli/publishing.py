"""`flask streamy send` and `flask streamy end`."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from io import BufferedReader
from typing import Final, cast

import click

from ..binding import Binding
from ..engine.publisher import Publisher
from ..errors import InvalidEvent
from ..events import MAX_RETRY_MS, Event, check_stream_id, read_json
from .bound import with_binding
from .shell import SIGNALS_WAIT, say

_CHUNK: Final = 64 * 2**10
_BATCH: Final = 500

MakeEvent = Callable[[str], Event]


@click.command()
@click.argument("stream_id", metavar="STREAM")
@click.argument("data", required=False)
@click.option("--event", "name", metavar="NAME", help="The event's name.")
@click.option(
    "--retry",
    type=click.IntRange(0, MAX_RETRY_MS),
    metavar="MS",
    help="How long browsers are to wait before they reconnect, from now on.",
)
@click.option(
    "--expires",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="For how long it is of use: who comes later isn't shown it.",
)
@click.option("--json", "as_json", is_flag=True, help="Refuse data that isn't JSON.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Publish each line of standard input as it comes.")
@with_binding
def send(
    binding: Binding,
    stream_id: str,
    data: str | None,
    name: str | None,
    retry: int | None,
    expires: float | None,
    as_json: bool,
    from_stdin: bool,
) -> None:
    """Publish DATA to STREAM and print its entry's id.

    With --stdin every line is an event of its own. Bytes that aren't UTF-8, and NUL, are
    replaced by U+FFFD.
    """
    check_stream_id(stream_id)
    publisher = binding.engine.publisher

    def event(text: str) -> Event:
        return publisher.event(_checked_json(text) if as_json else text, name, retry, expires)

    if from_stdin and data is None:
        source = cast(BufferedReader, sys.stdin.buffer)
        _send_lines(publisher, stream_id, _waiting_lines(source, binding.settings.max_event_bytes), event)
    elif data is not None and not from_stdin:
        _publish(publisher, stream_id, [event(data)])
    else:
        raise click.UsageError("give either DATA or --stdin")


@click.command()
@click.argument("stream_id", metavar="STREAM")
@with_binding
def end(binding: Binding, stream_id: str) -> None:
    """End STREAM for good.

    Its clients get what is left, and reconnect no more.
    """
    binding.engine.end_stream(stream_id)


def _send_lines(publisher: Publisher, stream_id: str, waiting: Iterator[list[str]], event: MakeEvent) -> None:
    """Publish every line; at the first that can't be, stop, with all before it published."""
    done = 0
    for lines in waiting:
        events: list[Event] = []
        refused: InvalidEvent | None = None
        for number, line in enumerate(lines, done + 1):
            try:
                events.append(event(line))
            except InvalidEvent as error:
                refused = InvalidEvent(f"line {number} of standard input: {error}")
                break
        _publish(publisher, stream_id, events)
        if refused:
            raise refused
        done += len(lines)


def _publish(publisher: Publisher, stream_id: str, events: Sequence[Event]) -> None:
    for start in range(0, len(events), _BATCH):
        say("\n".join(publisher.publish(stream_id, events[start : start + _BATCH])))


def _waiting_lines(source: BufferedReader, most: int) -> Iterator[list[str]]:
    """The lines that have come, as soon as there is one, until the end of `source`.

    most: bytes; of a line with more than that, its beginning comes as if it were a line.
    """
    rest = b""
    # read1 gives what is there, and waits only if that is nothing: a line that comes alone is not
    # held back, and what piles up during a round trip to the broker comes all at once.
    while _wait_for_input(source) and (chunk := source.read1(_CHUNK)):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > most + len(b"\r"):
            lines.append(rest)
            rest = b""
        if lines:
            yield [_text(line) for line in lines]
    if rest:
        yield [_text(rest)]


def _wait_for_input(source: BufferedReader) -> bool:
    """Wait until reading doesn't block, if the system can tell, and return True.

    Python heeds no signal that comes just before a call that blocks until that call returns
    (https://docs.python.org/3/library/signal.html): Ctrl-C would be lost on a read.
    """
    with suppress(OSError, ValueError):  # no descriptor, or a system whose select takes sockets alone
        while not select.select([source], [], [], SIGNALS_WAIT)[0]:
            pass
    return True


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _checked_json(text: str) -> str:
    try:
        read_json(text)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"this is not JSON: {error}") from None
    return text
