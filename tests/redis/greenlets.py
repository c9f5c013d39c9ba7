"""Fifty greenlets publish while one reads, and print what it has read.

`python -m gevent.monkey --module tests.redis.greenlets URL`: everything is in one thread, so that
whatever blocks that thread instead of its greenlet blocks all.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Final

import gevent

from streamy_core import StreamManager
from streamy_core.testing.reading import DEADLINE

GREENLETS: Final = 50
EACH: Final = 10


def main(url: str) -> None:
    this_thread = threading.get_native_id()
    threads: set[int] = set()

    def publish(who: int) -> None:
        for n in range(EACH):
            sse.send_event("news", f"{who} {n}")
        threads.add(threading.get_native_id())

    with StreamManager(broker=url) as sse:
        subscription = sse.subscribe("news")
        greenlets = [gevent.spawn(publish, who) for who in range(GREENLETS)]
        ticks = gevent.spawn(count_ticks)
        seen: list[str] = []
        while len(seen) < GREENLETS * EACH and (entry := subscription.next(DEADLINE)):
            seen.append(entry.event.data)
        gevent.joinall(greenlets, DEADLINE, raise_error=True)
        ticks.kill()
        assert threads == {this_thread}
    print(json.dumps({"seen": seen, "ticks": ticks.value}))


def count_ticks() -> int:
    """How often another greenlet got its turn meanwhile."""
    ticks = 0
    try:
        while True:
            gevent.sleep(0.001)
            ticks += 1
    except gevent.GreenletExit:
        return ticks


if __name__ == "__main__":
    main(sys.argv[1])
