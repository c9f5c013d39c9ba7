"""Makes the summary of one manager in this process."""

from __future__ import annotations

import os
import platform
import secrets
import socket
import threading
import time
from collections import Counter
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from ..broker import ForkGuard
from ..delivery.service import DeliveryService
from ..engine.engine import Engine
from ..health import Checkup
from ..observers.metrics import Metric
from ..observers.metrics import catalogue as of
from ..runs.held import Held
from ..runs.service import Runs
from .busiest import Busiest
from .kept import Kept, Values
from .summary import MOST_RUNS, GroupSummary, RunSummary, Summary, Wrong

_STATM: Final = Path("/proc/self/statm")
_STORED: Final = "stored"


class Summarizer:
    """See the module. Any thread, but one at a time. A forked process is another one.

    Its attribute `server` is the name of the process's server, once that is known.
    """

    _host: str
    _since: float
    _me: str

    def __init__(
        self,
        engine: Engine,
        delivery: DeliveryService,
        checkup: Checkup,
        runs: Runs,
        kept: Kept,
        busiest: Busiest,
        manager: str,
    ) -> None:
        self._engine = engine
        self._delivery = delivery
        self._checkup = checkup
        self._runs = runs
        self._kept = kept
        self._busiest = busiest
        self._manager = manager
        self.server: str = "unknown"
        self._guard = ForkGuard(self._start)

    @property
    def process(self) -> str:
        """What tells this process from all others."""
        self._guard.check()
        return self._me

    def now(self, every: float) -> Summary:
        """How the process is doing. every: seconds until the next summary."""
        self._guard.check()
        health, replays = self._engine.hub.health, self._delivery.replays
        values = self._kept.values()
        running = self._runs.going()
        return replace(
            self._self(),
            every=every,
            versions=self._versions(),
            clients=_by_first(values, of.CLIENTS),
            viewers=self._busiest.viewers,
            groups=self._groups(values),
            streams=self._busiest.take(),
            runs=tuple(_as_told(held) for held in running[:MOST_RUNS]),
            running=len(running),
            watched=health.streams,
            waiting={
                "outbox": self._engine.outbox.queued,
                "replays": replays.running + replays.waiting,
            },
            published=_sum(values, of.PUBLISHED, _STORED),
            delivered=_sum(values, of.DELIVERED_EVENTS),
            bytes=_sum(values, of.DELIVERED_BYTES),
            opened=_sum(values, of.OPENED),
            closed=_by_last(values, of.CLOSED),
            gaps=_by_last(values, of.GAPS),
            turned_away=_by_last(values, of.TURNED_AWAY),
            dropped=_by_last(values, of.DROPPED),
            slow=_sum(values, of.SLOW),
            retries=_sum(values, of.RETRIES),
            failures=_sum(values, of.READ_FAILURES),
            last_failure=health.last_failure or "",
            missed_bells=_sum(values, of.MISSED_BELLS),
            damaged=_sum(values, of.DAMAGED),
            bell_seconds=self._engine.canary.last,
            loop_lag=self._kept.take_largest(of.LOOP_LAG),
            publish_seconds=self._kept.take_largest(of.PUBLISH_SECONDS),
            cpu=time.process_time(),
            memory=_resident(),
            threads=threading.active_count(),
            wrong=tuple(
                Wrong(str(what), round(seconds, 1), detail) for what, seconds, detail in self._checkup.known()
            ),
            live=not self._engine.canary.running or not self._checkup.live(),
        )

    def farewell(self) -> Summary:
        """What it tells last."""
        self._guard.check()
        return replace(self._self(), bye=True)

    def _self(self) -> Summary:
        return Summary(
            process=self._me,
            host=self._host,
            pid=os.getpid(),
            manager=self._manager,
            at=time.time(),
            since=self._since,
        )

    def _versions(self) -> dict[str, str]:
        return {
            "streamy": _own_version(),
            "python": platform.python_version(),
            "server": self.server,
            "backend": type(self._engine.broker).__name__,
        }

    def _groups(self, values: Values) -> dict[str, GroupSummary]:
        clients = self._busiest.groups()
        published: Counter[str] = Counter()
        for (metric, labels), value in values.items():
            if metric is of.PUBLISHED and labels[-1] == _STORED:
                published[labels[1]] += int(value)
        return {
            name: GroupSummary(clients.get(name, 0), published[name])
            for name in sorted({*clients, *published})
        }

    def _start(self) -> None:
        self._host = socket.gethostname()
        self._since = time.time()
        self._me = f"{self._host}:{os.getpid()}:{secrets.token_hex(4)}"


def _as_told(held: Held) -> RunSummary:
    seconds = round(time.monotonic() - held.began_at, 1)
    return RunSummary(held.stream_id, seconds, held.writer.entries, held.stopping)


def _sum(values: Values, metric: Metric, last: str | None = None) -> int:
    return int(
        sum(
            value
            for (of_metric, labels), value in values.items()
            if of_metric is metric and last in (None, labels[-1])
        )
    )


def _by_first(values: Values, metric: Metric) -> dict[str, int]:
    """By the first label after the manager's name."""
    return {labels[1]: int(value) for (found, labels), value in values.items() if found is metric}


def _by_last(values: Values, metric: Metric) -> dict[str, int]:
    """By the last label: a reason, a cause."""
    counts: Counter[str] = Counter()
    for (found, labels), value in values.items():
        if found is metric:
            counts[labels[-1]] += int(value)
    return dict(counts)


def _resident() -> int | None:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):  # not Linux
        return None


def _own_version() -> str:
    try:
        return version("streamy-sse")
    except PackageNotFoundError:  # it was copied rather than installed
        return "unknown"
