"""Writes numbers that can be read into instruments that can only be told, once a second."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from .catalogue import Metric, MetricKind
from .distributions import Distributed, Distributions
from .readings import Readings, Values

EVERY: Final = 1.0
"""Seconds between two samples."""

logger: Final = logging.getLogger("streamy.observers")


class Sampler:
    """See the module. Any thread. Each process has its own thread for it, once something has happened there.

    child: prometheus-client's instrument of a metric with these values of its labels.
    """

    def __init__(
        self,
        readings: Readings,
        distributions: Distributions,
        child: Callable[[Metric, tuple[str, ...]], Any],
    ) -> None:
        self._readings = readings
        self._distributions = distributions
        self._child = child
        self._made_in = os.getpid()
        self._begun_in = 0
        self._locks: dict[int, threading.Lock] = {}  # by process: that of a parent may be locked for good
        self._told: Values = {}
        self._distributed: dict[tuple[Metric, tuple[str, ...]], Distributed] = {}
        atexit.register(self.sample)  # by now: so it comes after what clients are told at the exit

    def begin(self) -> None:
        """See that this process takes samples."""
        if self._begun_in == os.getpid():
            return
        with self._lock:
            pid = os.getpid()
            if self._begun_in == pid:
                return
            # What a parent has counted before the fork is the parent's to tell.
            forked = pid != self._made_in
            self._told = self._readings.now() if forked else {}
            self._distributed = self._distributions.now() if forked else {}
            self._begun_in = pid
        threading.Thread(target=self._run, name="streamy-metrics", daemon=True).start()

    def sample(self) -> None:
        """Write all numbers as they are now."""
        if self._begun_in != os.getpid():
            return
        with self._lock:
            values = self._readings.now()
            for key, value in values.items():
                if key[0].kind is MetricKind.COUNTER:
                    told = self._told.get(key, 0.0)
                    self._child(*key).inc(value - told if value >= told else value)
                else:
                    self._child(*key).set(value)
            for metric, labels in self._told.keys() - values.keys():
                if not metric.lowest:
                    self._child(metric, labels).set(0)  # its manager was closed
            self._told = values
            distributed = self._distributions.now()
            for key, held in distributed.items():
                _observe(self._child(*key), held, self._distributed.get(key))
            self._distributed = distributed

    @property
    def _lock(self) -> threading.Lock:
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _run(self) -> None:
        pid = self._begun_in
        while pid == os.getpid():
            time.sleep(EVERY)
            try:
                self.sample()
            except Exception:
                logger.exception("metrics could not be sampled")


def _observe(histogram: Any, held: Distributed, told: Distributed | None) -> None:
    """Add what a histogram hasn't been told yet, which by its own methods goes one by one."""
    before = told or Distributed((0,) * len(held.counts), 0.0)
    for bucket, count, counted in zip(histogram._buckets, held.counts, before.counts, strict=True):
        if count > counted:
            bucket.inc(count - counted)
    histogram._sum.inc(held.total - before.total)
