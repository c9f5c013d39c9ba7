"""Fifty greenlets publish while one reads: nothing blocks the thread that they share.

`python -m gevent.monkey --module tests.backends.promises.greenlets URL` prints what the reader has got.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from itertools import pairwise
from typing import Any, Final

import gevent

from streamy_core import StreamManager
from streamy_core.testing.reading import DEADLINE

from ...support import ROOT

GREENLETS: Final = 50
EACH: Final = 10


def monkey_patched(module: str, url: str) -> Any:
    """What this module has printed, in a process that gevent has patched."""
    command = [sys.executable, "-m", "gevent.monkey", "--module", module, url]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3 * DEADLINE)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def turns_of_greenlets(url: str) -> int:
    """Have greenlets publish and read; how often the log goes from one publisher to another.

    Fails unless everything is read once, and each publisher's in order. Where publishing blocks
    the thread, one publisher after the other has its only turn.
    """
    seen = [tuple(text.split()) for text in monkey_patched(__name__, url)]
    assert Counter(seen) == Counter((f"{who}", f"{n}") for who in range(GREENLETS) for n in range(EACH))
    for who in range(GREENLETS):
        assert [n for by, n in seen if by == f"{who}"] == [f"{n}" for n in range(EACH)]
    return sum(one != other for (one, _), (other, _) in pairwise(seen))


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
        seen: list[str] = []
        while len(seen) < GREENLETS * EACH and (entry := subscription.next(DEADLINE)):
            seen.append(entry.event.data)
        gevent.joinall(greenlets, DEADLINE, raise_error=True)
        assert threads == {this_thread}
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1])
