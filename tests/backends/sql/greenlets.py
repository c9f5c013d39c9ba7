"""A watch waits while other greenlets have their turns, and prints what came of it.

`python -m gevent.monkey --module tests.backends.sql.greenlets URL`: everything is in one thread, so that
whatever blocks that thread instead of its greenlet blocks all.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Final

import gevent

from streamy_backends.sql import from_url
from streamy_core.broker import Broker
from streamy_core.testing.reading import DEADLINE, data_of, events, read_all

WAIT: Final = 0.5
EACH: Final = 20


def main(url: str) -> None:
    this_thread = threading.get_native_id()
    with from_url(url, {}) as broker, from_url(url, {}) as other:
        watch = broker.watch()
        watch.add("news")
        watch.wait(0)
        ticks = gevent.spawn(count_ticks)
        named = list(watch.wait(WAIT))
        ticks.kill()
        waiting = gevent.spawn(watch.wait, DEADLINE)
        publishing = [gevent.spawn(publish, other, who) for who in range(5)]
        woken = list(waiting.get(timeout=DEADLINE))
        gevent.joinall(publishing, DEADLINE, raise_error=True)
        result = {"silence": named, "ticks": ticks.value, "woken": woken}
        result["log"] = data_of(read_all(broker, "news"))
        assert threading.get_native_id() == this_thread
    print(json.dumps(result))


def count_ticks() -> int:
    """How often another greenlet got its turn meanwhile."""
    ticks = 0
    try:
        while True:
            gevent.sleep(0.001)
            ticks += 1
    except gevent.GreenletExit:
        return ticks


def publish(broker: Broker, who: int) -> None:
    for n in range(EACH):
        broker.append("news", events(f"{who} {n}"))


if __name__ == "__main__":
    main(sys.argv[1])
