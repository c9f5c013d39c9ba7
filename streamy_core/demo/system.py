"""This machine's load, read from the operating system."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from ..errors import StreamyError


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine since the sample before.

    cpu:          busy percent of each CPU.
    memory_used:  bytes that are not available to programs.
    memory_total: bytes.
    net_in:       bytes per second received, on all interfaces together.
    net_out:      the same for sent ones.
    """

    cpu: list[float]
    memory_used: int
    memory_total: int
    net_in: float
    net_out: float


class Sampler:
    """Takes samples, by psutil, for one thread alone: psutil counts CPU time by who asks.

    Raises StreamyError if psutil isn't installed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._psutil = load_psutil()
        self._clock = clock
        self._at, self._received, self._sent = self._read_network()

    def sample(self) -> Sample:
        """The machine since the last call. The first one has nothing to compare with."""
        memory = self._psutil.virtual_memory()
        at, received, sent = self._read_network()
        seconds = max(at - self._at, 0.001)
        sample = Sample(
            cpu=self._psutil.cpu_percent(percpu=True),
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            # An interface that goes away takes its counts with it.
            net_in=max(0, received - self._received) / seconds,
            net_out=max(0, sent - self._sent) / seconds,
        )
        self._at, self._received, self._sent = at, received, sent
        return sample

    def _read_network(self) -> tuple[float, int, int]:
        counters = self._psutil.net_io_counters()
        at = self._clock()
        return (at, counters.bytes_recv, counters.bytes_sent) if counters else (at, 0, 0)


def load_psutil() -> ModuleType:
    """The module psutil. Raises StreamyError if it isn't installed."""
    try:
        import psutil
    except ImportError:
        raise StreamyError(
            'the demo reads this machine\'s load by psutil, which is missing: pip install "streamy-sse[demo]"'
        ) from None
    return psutil
