"""Publishes from a process of its own: `python -m tests.bench.publisher URL KIND COUNT RATE [STREAMS]`.

KIND is "bare", for PUBLISH by redis-py to the channel "bench", or "streamy", for `send_event` to the
stream "s0", or to so many in turns. What is sent is the time at which it is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import cycle
from typing import Final

import redis

from streamy_core import StreamManager

from .floor import payload

_STRIDE: Final = 7_919
"""From one stream to the next: a prime, so that all have their turn."""


def main(url: str, kind: str, count: int, rate: float, streams: int = 1) -> None:
    """Publish so many, so many a second."""
    publish: Callable[[str], object]
    if kind == "bare":
        client = redis.Redis.from_url(url)
        publish = lambda text: client.publish("bench", text)  # noqa: E731
    else:
        sse = StreamManager(broker=url)
        sse.cursor("s0")  # so that it is connected
        names = cycle([f"s{n * _STRIDE % streams}" for n in range(streams)])
        publish = lambda text: sse.send_event(next(names), text)  # noqa: E731
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, start + number / rate - time.monotonic()))
        publish(payload())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), *map(int, sys.argv[5:]))
