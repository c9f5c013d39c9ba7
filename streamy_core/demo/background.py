"""What publishes to the demo's streams: threads with one owner."""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Final
from uuid import uuid4

from ..errors import Closed, PublishFailed
from ..events import Event
from ..manager import StreamManager
from .follow import Tail
from .system import Sampler

SYSTEM: Final = "system"
CHAT: Final = "chat"
FILE: Final = "file"
LINE: Final = "line"

COUNTDOWN: Final = ("5", "4", "3", "2", "1", "liftoff")
MOST_COUNTDOWNS: Final = 16

_SECOND: Final = 1.0
_LOOK_AGAIN: Final = 0.2
_BATCH: Final = 200
_PAUSE: Final = 0.02

logger: Final = logging.getLogger("streamy.demo")


class Background:
    """Publishes a sample of the machine every second, a file's lines, and countdowns, until `close`.

    Starts when it is made. Any thread.

    tail: the file's lines; closed with this.
    """

    def __init__(self, sse: StreamManager, sampler: Sampler, tail: Tail | None) -> None:
        self._sse = sse
        self._sampler = sampler
        self._stop = threading.Event()
        self._countdowns = threading.BoundedSemaphore(MOST_COUNTDOWNS)
        self._threads = [self._thread(self._publish_samples)]
        if tail is not None:
            self._threads.append(self._thread(partial(self._publish_lines, tail)))

    def start_countdown(self) -> str | None:
        """Start a countdown on a stream of its own, which then ends. None if too many are under way.

        Returns what comes after `countdown:` in the stream's id.
        """
        if not self._countdowns.acquire(blocking=False):
            return None
        name = str(uuid4())
        self._thread(partial(self._count_down, f"countdown:{name}"))
        return name

    def close(self) -> None:
        """Publish no more. Closing twice does nothing."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=2)

    def _thread(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name="streamy-demo", daemon=True)
        thread.start()
        return thread

    def _publish_samples(self) -> None:
        run = secrets.token_hex(4)
        self._sampler.sample()
        due = time.monotonic()
        for serial in itertools.count(1):
            due = max(due + _SECOND, time.monotonic())
            if self._stop.wait(due - time.monotonic()):
                return
            sample = asdict(self._sampler.sample())
            data = {"run": run, "serial": serial, "at": round(time.time() * 1000), **sample}
            key = f"{run}.{serial}"
            self._insist(partial(self._sse.send_event, SYSTEM, data, SYSTEM, idempotency_key=key))

    def _publish_lines(self, tail: Tail) -> None:
        run = secrets.token_hex(4)
        batches = itertools.count()
        with tail:
            while not self._stop.is_set():
                lines = tail.read()
                for start in range(0, len(lines), _BATCH):
                    events = [Event(line, LINE) for line in lines[start : start + _BATCH]]
                    key = f"{run}.{next(batches)}"
                    self._insist(partial(self._sse.send_events, FILE, events, idempotency_key=key))
                    # Faster, and browsers would be told of gaps: a log holds only so many lines.
                    self._stop.wait(_PAUSE)
                if not lines:
                    self._stop.wait(_LOOK_AGAIN)

    def _count_down(self, stream: str) -> None:
        try:
            for step in COUNTDOWN:
                self._insist(partial(self._sse.send_event, stream, step, "step", idempotency_key=step))
                if self._stop.wait(_SECOND):
                    return
            self._insist(partial(self._sse.end_stream, stream))
        finally:
            self._countdowns.release()

    def _insist(self, publish: Callable[[], object]) -> None:
        """Publish; again and again while the broker is away. Safe by the idempotency keys."""
        while not self._stop.is_set():
            try:
                publish()
            except PublishFailed as error:
                logger.warning("the demo goes on trying: %s", error)
                self._stop.wait(_SECOND)
            except Closed:
                self._stop.set()
            else:
                return
