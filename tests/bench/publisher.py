"""Publishes from a process of its own: `python -m tests.bench.publisher URL KIND COUNT RATE [STREAMS]`.

KIND is "bare", for PUBLISH by redis-py to the channel "bench", or "streamy", for `send_event` to the
stream "s0", or to so many in turns. What is sent is the time at which it is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import redis

from streamy_core import StreamManager

from .floor import payload
from .turns import in_turns


def main(url: str, kind: str, count: int, rate: float, streams: int = 1) -> None:
    """Publish so many, so many a second."""
    publish: Callable[[str, str], object]
    if kind == "bare":
        client = redis.Redis.from_url(url)
        publish = lambda _, text: client.publish("bench", text)  # noqa: E731
    else:
        sse = StreamManager(broker=url)
        sse.cursor("s0")  # so that it is connected
        publish = sse.send_event
    for name in in_turns(streams, count, rate, time.sleep):
        publish(name, payload())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), *map(int, sys.argv[5:]))
