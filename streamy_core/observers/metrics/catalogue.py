"""All metrics: their names, by the conventions of Prometheus, their labels, and what each counts.

https://prometheus.io/docs/practices/naming/: base units, `_total` for counters.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class MetricKind(StrEnum):
    """What is done with a metric's values."""

    COUNTER = "counter"
    """They are added."""
    GAUGE = "gauge"
    """They are added, too, and may be below 0; of one that is `read`, the newest counts."""
    HISTOGRAM = "histogram"
    """They are counted by their size."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    name:    as Prometheus has it.
    meaning: a sentence for reference pages.
    labels:  beside `manager`, which all have and which comes first.
    buckets: of a histogram: the upper ends.
    read:    whether it is read when somebody asks, and not told when something happens.
    lowest:  whether of several processes, or managers, the lowest value counts, and not the sum.
    """

    name: str
    kind: MetricKind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    read: bool = False
    lowest: bool = False

    @property
    def all_labels(self) -> tuple[str, ...]:
        """With `manager`."""
        return ("manager", *self.labels)


_C, _G, _H = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

_LIVES: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0)
_CALLS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0)
_LATE: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0)

CLIENTS: Final = Metric("streamy_clients", _G, "Clients that are connected.", ("delivery",))
OPENED: Final = Metric(
    "streamy_connections_opened_total",
    _C,
    "Clients that were connected, by where in their streams they began: `live`, `start` (`after=`), or "
    "`resumed` (after the cursor that they brought).",
    ("delivery", "began"),
)
CLOSED: Final = Metric(
    "streamy_connections_closed_total",
    _C,
    "Clients that are connected no more, by `DisconnectReason`; `died`: their process was killed.",
    ("delivery", "reason"),
)
LIVES: Final = Metric(
    "streamy_connection_duration_seconds",
    _H,
    "How long those had been connected.",
    ("delivery",),
    buckets=_LIVES,
)
TURNED_AWAY: Final = Metric(
    "streamy_turned_away_total",
    _C,
    "Clients that were never connected: `busy` (no slot, a limit of the process), or a `TurnAwayCause`.",
    ("cause",),
)
PUBLISHED: Final = Metric(
    "streamy_published_events_total",
    _C,
    "Events that were published, or were to be, by `PublishOutcome`.",
    ("group", "outcome"),
    read=True,
)
PUBLISH_SECONDS: Final = Metric(
    "streamy_publish_duration_seconds",
    _H,
    "How long the calls took that publish, all attempts together.",
    ("group", "outcome"),
    buckets=_CALLS,
)
RETRIES: Final = Metric(
    "streamy_publish_retries_total", _C, "Attempts to write that failed, and were followed by another."
)
OUTBOX: Final = Metric("streamy_outbox_events", _G, "Events of `send_soon` that wait.", read=True)
DROPPED: Final = Metric(
    "streamy_outbox_dropped_events_total",
    _C,
    "Events of `send_soon` that are lost, by `DropReason`.",
    ("reason",),
)
DELIVERED_EVENTS: Final = Metric(
    "streamy_delivered_events_total",
    _C,
    "Events that were handed to the system, each once for each client.",
    ("delivery",),
    read=True,
)
DELIVERED_BYTES: Final = Metric(
    "streamy_delivered_bytes_total", _C, "Bytes that were, likewise.", ("delivery",), read=True
)
GAPS: Final = Metric("streamy_gaps_total", _C, "Gaps that readers were told of, by `GapCause`.", ("cause",))
DAMAGED: Final = Metric("streamy_damaged_entries_total", _C, "Entries that could not be read.")
SLOW: Final = Metric(
    "streamy_slow_clients_total", _C, "Decisions of the slow-client policy against a client."
)
WATCHED: Final = Metric("streamy_watched_streams", _G, "Streams that are being watched.", read=True)
READ_FAILURES: Final = Metric(
    "streamy_read_failures_total", _C, "Times that the log could not be read, or its bells not be heard."
)
FAILING: Final = Metric(
    "streamy_reads_failing", _G, "Processes whose last try to read failed: events may be late.", read=True
)
MISSED_BELLS: Final = Metric(
    "streamy_missed_bells_total", _C, "Streams that were found grown without a bell."
)
BELL: Final = Metric(
    "streamy_bell_seconds",
    _H,
    "How long the canary's own entry took from its publishing back to its process.",
    buckets=_LATE,
)
BELL_HEARD: Final = Metric(
    "streamy_bell_heard_timestamp_seconds",
    _G,
    "When it came back last, in seconds since 1970: of the process for which that was longest ago.",
    read=True,
    lowest=True,
)
REPLAYS: Final = Metric(
    "streamy_replays",
    _G,
    "Reads of the log for clients that no window serves: `running`, or `waiting` for their turn.",
    ("state",),
    read=True,
)
LOOKUPS: Final = Metric(
    "streamy_window_lookups_total",
    _C,
    "Times that a window held what a reader asked for (`hit`), or the log had to be read (`miss`).",
    ("result",),
    read=True,
)
LOOP_LAG: Final = Metric(
    "streamy_loop_lag_seconds",
    _H,
    "How late the event loop came to what was due: looked at once a second, while it has clients.",
    buckets=_LATE,
)

RUNS: Final = Metric("streamy_runs", _G, "Runs that are held, whether they have a thread or not.", read=True)
RUNS_STARTED: Final = Metric("streamy_runs_started_total", _C, "Runs that have begun.", ("group",))
RUNS_ENDED: Final = Metric(
    "streamy_runs_ended_total",
    _C,
    "Runs that were ended, by `RunOutcome`; `lost`, too, by whoever found them so.",
    ("group", "outcome"),
)
RUN_SECONDS: Final = Metric(
    "streamy_run_duration_seconds",
    _H,
    "How long the runs took that their own processes have ended.",
    ("outcome",),
    buckets=_LIVES,
)

METRICS: Final[tuple[Metric, ...]] = (
    CLIENTS,
    OPENED,
    CLOSED,
    LIVES,
    TURNED_AWAY,
    PUBLISHED,
    PUBLISH_SECONDS,
    RETRIES,
    OUTBOX,
    DROPPED,
    DELIVERED_EVENTS,
    DELIVERED_BYTES,
    GAPS,
    DAMAGED,
    SLOW,
    WATCHED,
    READ_FAILURES,
    FAILING,
    MISSED_BELLS,
    BELL,
    BELL_HEARD,
    REPLAYS,
    LOOKUPS,
    LOOP_LAG,
    RUNS,
    RUNS_STARTED,
    RUNS_ENDED,
    RUN_SECONDS,
)
"""In the order of the reference."""
