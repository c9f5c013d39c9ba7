"""What of a manager can be measured: its metrics, by its settings, and the numbers that are read for them."""

from __future__ import annotations

from collections.abc import Callable, Collection

from .config import Settings
from .delivery.service import DeliveryService
from .engine.engine import Engine
from .observers.metrics import Instruments, Metric, Metrics
from .observers.metrics.both import Both
from .observers.metrics.catalogue import FAILING, LOOKUPS, OUTBOX, REPLAYS, RUNS, WATCHED
from .runs.service import Runs

Numbers = Collection[tuple[Metric, tuple[str, ...], float]]


def metrics_of(settings: Settings, manager: str, further: Instruments | None = None) -> Metrics | None:
    """The metrics of the manager of this name; None: nobody wants any.

    further: keeps them, too, and whether or not the settings say where they are kept.
    """
    kept = settings.metrics if further is None else further
    if settings.metrics is not None and further is not None:
        kept = Both(settings.metrics, further)
    return None if kept is None else Metrics(kept, manager, settings.stream_group)


def numbers_of(engine: Engine, delivery: DeliveryService, runs: Runs) -> Callable[[], Numbers]:
    """What gives the numbers of all of them. Any thread."""

    def numbers() -> Numbers:
        health, lookups, replays = engine.hub.health, engine.hub.lookups, delivery.replays
        return (
            (WATCHED, (), health.streams),
            (FAILING, (), health.failing),
            (OUTBOX, (), engine.outbox.queued),
            (REPLAYS, ("running",), replays.running),
            (REPLAYS, ("waiting",), replays.waiting),
            (LOOKUPS, ("hit",), lookups.hits),
            (LOOKUPS, ("miss",), lookups.misses),
            (RUNS, (), len(runs.going())),
        )

    return numbers
