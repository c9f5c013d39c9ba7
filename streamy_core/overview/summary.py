"""What one process tells of itself, as a value and as JSON.

What is read may come from another release, or from somebody who writes to the backend: what is unknown is
left out, and the rest is read as `foreign` does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from ..events import MAX_STREAM_ID, read_json
from .foreign import counts, flag, items, number, number_or_none, objects, text, texts, whole

MOST_GROUPS: Final = 50
MOST_STREAMS: Final = 40
MOST_RUNS: Final = 40

_MOST_FIELDS: Final = 200


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """A group of streams, by `STREAMY_STREAM_GROUP`.

    clients:   connected ones that read any of its streams.
    published: events that this process has published to them, in all.
    """

    clients: int = 0
    published: int = 0


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """A stream that has many clients here, or to which much is published.

    published: events a second, lately.
    """

    name: str
    clients: int = 0
    published: float = 0.0


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run that this process holds.

    seconds:  for how long it has gone on.
    entries:  that it has written; what waits to be put together isn't yet.
    stopping: whether it is to end, or can't write any more.
    """

    stream: str
    seconds: float = 0.0
    entries: int = 0
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that is wrong, as `/ready` says it. seconds: for how long."""

    what: str
    seconds: float = 0.0
    detail: str = ""


def _groups(value: Any) -> dict[str, GroupSummary]:
    groups: dict[str, GroupSummary] = {}
    for name, item in items(value, MOST_GROUPS + 2):  # with those for all others
        told = dict(items(item))
        groups[name] = GroupSummary(whole(told.get("clients")), whole(told.get("published")))
    return groups


def _streams(value: Any) -> tuple[StreamSummary, ...]:
    told = objects(value, MOST_STREAMS)
    return tuple(
        StreamSummary(name[:MAX_STREAM_ID], whole(item.get("clients")), number(item.get("published")))
        for item in told
        if (name := text(item.get("name")))
    )


def _runs(value: Any) -> tuple[RunSummary, ...]:
    return tuple(
        RunSummary(
            stream[:MAX_STREAM_ID],
            number(item.get("seconds")),
            whole(item.get("entries")),
            flag(item.get("stopping")),
        )
        for item in objects(value, MOST_RUNS)
        if (stream := text(item.get("stream")))
    )


def _wrongs(value: Any) -> tuple[Wrong, ...]:
    told = objects(value)
    return tuple(
        Wrong(text(item.get("what")), number(item.get("seconds")), text(item.get("detail"))) for item in told
    )


def _read(reader: Callable[[Any], Any], default: Any = None) -> Any:
    """A field that is read by this."""
    metadata = {"reader": reader}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What one manager in one process tells. Totals are since it began; times are seconds since 1970.

    process:  tells it from all others: its host, its pid, and something random.
    at:       when this was so, by its clock.
    since:    when it began.
    every:    seconds until the next, at most.
    bye:      it stops, and tells no more.
    versions: of `streamy` and `python`; `server` and `backend` by their names.
    clients:  connected ones, by delivery.
    viewers:  how many of them are live pages.
    groups:   by their names.
    streams:  those with most clients here, and those to which most is published here.
    runs:     that it holds, those that have gone on for longest. running: how many it holds in all.
    watched:  how many streams have clients here.
    waiting:  `outbox`: events of `send_soon`; `replays`: reads of the log for clients that lag.
    published: events.
    delivered: events, once for each client.
    bytes:    that were sent to clients.
    opened:   connections.
    closed:   connections, by `DisconnectReason`.
    gaps:     that readers were told of, by `GapCause`.
    turned_away: clients that were never connected: `busy`, or by `TurnAwayCause`.
    dropped:  events of `send_soon` that are lost, by `DropReason`.
    slow:     decisions of the slow-client policy against a client.
    retries:  attempts to publish that failed, and were followed by another.
    failures: times that the log could not be read, or its bells not be heard.
    last_failure: the newest of these.
    missed_bells: streams that were found grown without a bell.
    damaged:  entries that could not be read.
    bell_seconds: how long the canary's newest entry took through the broker and back; None: none has.
    loop_lag: how late the event loop came, at most, since the summary before; None: it has no clients.
    publish_seconds: how long a call that publishes took, likewise.
    cpu:      seconds of CPU time.
    memory:   that is resident, in bytes; None: nobody can tell.
    threads:  of Python.
    wrong:    why it isn't ready.
    live:     whether it may mend itself, as `/live` says.
    """

    process: str = _read(text, "")
    host: str = _read(text, "")
    pid: int = _read(whole, 0)
    manager: str = _read(text, "")
    at: float = _read(number, 0.0)
    since: float = _read(number, 0.0)
    every: float = _read(number, 0.0)
    bye: bool = _read(flag, False)
    versions: Mapping[str, str] = _read(texts, dict)
    clients: Mapping[str, int] = _read(counts, dict)
    viewers: int = _read(whole, 0)
    groups: Mapping[str, GroupSummary] = _read(_groups, dict)
    streams: tuple[StreamSummary, ...] = _read(_streams, ())
    runs: tuple[RunSummary, ...] = _read(_runs, ())
    running: int = _read(whole, 0)
    watched: int = _read(whole, 0)
    waiting: Mapping[str, int] = _read(counts, dict)
    published: int = _read(whole, 0)
    delivered: int = _read(whole, 0)
    bytes: int = _read(whole, 0)
    opened: int = _read(whole, 0)
    closed: Mapping[str, int] = _read(counts, dict)
    gaps: Mapping[str, int] = _read(counts, dict)
    turned_away: Mapping[str, int] = _read(counts, dict)
    dropped: Mapping[str, int] = _read(counts, dict)
    slow: int = _read(whole, 0)
    retries: int = _read(whole, 0)
    failures: int = _read(whole, 0)
    last_failure: str = _read(text, "")
    missed_bells: int = _read(whole, 0)
    damaged: int = _read(whole, 0)
    bell_seconds: float | None = _read(number_or_none)
    loop_lag: float | None = _read(number_or_none)
    publish_seconds: float | None = _read(number_or_none)
    cpu: float = _read(number, 0.0)
    memory: int | None = _read(lambda value: None if value is None else whole(value))
    threads: int = _read(whole, 0)
    wrong: tuple[Wrong, ...] = _read(_wrongs, ())
    live: bool = _read(lambda value: value is not False, True)

    @property
    def all_clients(self) -> int:
        """How many clients are connected, by any delivery."""
        return sum(self.clients.values())

    def as_json(self) -> dict[str, Any]:
        """As plain values, by the fields' names."""
        return asdict(self)

    def as_text(self) -> str:
        """As it is told."""
        return json.dumps(_sound(self.as_json()), separators=(",", ":"))


def read_summary(told: str) -> Summary | None:
    """The summary that this is as text; None: it is none."""
    try:
        given = dict(items(read_json(told), _MOST_FIELDS))
    except (ValueError, RecursionError):
        return None
    if not text(given.get("process")):
        return None
    known = {item.name: item.metadata["reader"] for item in fields(Summary)}
    return Summary(**{name: read(given[name]) for name, read in known.items() if name in given})


def _sound(value: Any) -> Any:
    """Without what JSON can't say, and with text cut that is too long."""
    given: Any = value
    if isinstance(value, dict):
        return {text(str(key)): _sound(item) for key, item in given.items()}
    if isinstance(value, list | tuple):
        return [_sound(item) for item in given]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else 0.0
    return text(value) if isinstance(value, str) else value
