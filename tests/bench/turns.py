"""Streams that have their turn, at a rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

_STRIDE: Final = 7_919
"""From one stream to the next: a prime, so that all have their turn."""


def in_turns(streams: int, count: int, rate: float, sleep: Callable[[float], object]) -> Iterator[str]:
    """The name of a stream when its turn has come, so many times, so many a second."""
    start = time.monotonic()
    for number in range(count):
        sleep(max(0.0, start + number / rate - time.monotonic()))
        yield f"s{number * _STRIDE % streams}"
