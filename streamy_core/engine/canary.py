"""The canary: small entries of a process's own, through the broker and back, whether anybody reads or not.

They tell whether the broker takes what is appended, whether the hub hears of it, and how soon. Each process
appends to one of a few streams of Streamy's own, which are kept as any others are: so not many are left of
processes that are gone.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

from ..broker import ForkGuard
from ..errors import Closed
from ..events import CANARY, Event
from ..observers import Observer
from .frames import Frame
from .hub import Hub
from .pulse import Pulse
from .reader import Reader
from .trips import Trips

_STREAMS: Final = 64
"""Several processes may have the same one; they wake each other for nothing then."""

logger: Final = logging.getLogger("streamy.health")


class Canary:
    """See the module. Nothing is done, and no thread runs, before `start`. Any thread.

    A forked process begins anew, and without it.

    tell:     appends an event of Streamy's own to a stream, by one attempt.
    interval: seconds between two entries.
    rings_within: `Broker.rings_within`.
    observer: told how long each took.
    clock:    tells the time in seconds.

    Its attribute `on_beat` is called by its thread now and then: about every `interval` seconds, at least.
    """

    _lock: threading.Lock
    _woken: threading.Event
    _changed: threading.Condition
    _thread: threading.Thread | None
    _trips: Trips
    _reader: Reader | None
    _rung_at: float
    _number: int
    _started_at: float
    _pulse: Pulse
    _stream: str
    _me: str

    def __init__(
        self,
        hub: Hub,
        tell: Callable[[str, Event], object],
        *,
        interval: float,
        rings_within: float,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub = hub
        self._tell = tell
        self._interval = interval
        self._rings_within = rings_within
        self._observer = observer
        self._clock = clock
        self._closed = False
        self.on_beat: Callable[[], object] | None = None
        self._guard = ForkGuard(self._begin_anew)

    def start(self) -> None:
        """Begin, if that hasn't been done in this process."""
        self._guard.check()
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._started_at = self._clock()
                self._thread = threading.Thread(target=self._run, name="streamy-canary", daemon=True)
                self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it has begun in this process."""
        return not self._guard.inherited and self._thread is not None

    @property
    def now(self) -> float:
        """The time that its times are of."""
        return self._clock()

    @property
    def started_at(self) -> float:
        """When it began."""
        return self._started_at

    @property
    def stuck_for(self) -> float:
        """For how many seconds its thread should have come round; 0 if it does."""
        return self._pulse.overdue() if self.running else 0.0

    @property
    def trips(self) -> Trips:
        """What is known by it. To look at."""
        self._guard.check()
        return self._trips

    @property
    def last(self) -> float | None:
        """How many seconds its newest entry took from `append` to the hub; None: none has come back."""
        return self.trips.last

    def wait_until_known(self, seconds: float) -> None:
        """Return when anything is known, or after so many seconds since it began."""
        self._guard.check()
        left = self._started_at + seconds - self._clock()
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._trips.known(self._clock()), max(0.0, left))

    def close(self) -> None:
        """Append no more. Closing twice does nothing."""
        self._closed = True
        if self._guard.inherited:
            return
        self._woken.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1)  # it may be waiting for a broker that is away

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._changed = threading.Condition()
        self._thread = None
        self._trips = Trips(self._rings_within)
        self._reader = None
        self._rung_at = 0.0
        self._number = 0
        self._started_at = self._clock()
        self._pulse = Pulse(self._clock)
        self._stream = f"{CANARY}{secrets.randbelow(_STREAMS)}"
        self._me = secrets.token_hex(8)

    @property
    def _over(self) -> bool:
        return self._closed or self._hub.closed

    def _run(self) -> None:
        next_at = self._started_at
        while not self._over:
            try:
                self._hear()
                if self._clock() >= next_at:
                    next_at = self._clock() + self._interval
                    self._send()
            except Closed:
                return
            except Exception as error:  # noqa: BLE001 - it is told, and that is what it is for
                self._trips.failed(error, self._number)
            self._beat()
            left = max(0.0, next_at - self._clock())
            self._pulse.expect(left)
            self._woken.wait(left)
            self._woken.clear()
            self._pulse.expect()

    def _beat(self) -> None:
        with self._changed:
            self._changed.notify_all()
        try:
            if self.on_beat is not None:
                self.on_beat()
        except Exception:
            logger.exception("the canary goes on after an error")

    def _send(self) -> None:
        self._trips.asks(self._clock())
        if self._reader is None:
            reader = Reader.open(self._hub, {self._stream: None})
            reader.attach(self._wake)
            self._reader = reader
        self._number += 1
        self._trips.sends(self._number, self._clock(), self._hub.watches)
        self._tell(self._stream, Event(f"{self._me} {self._number}"))
        self._trips.stored()

    def _wake(self) -> None:
        """The hub has read something: its thread."""
        if not self._woken.is_set():
            self._rung_at = self._clock()
            self._woken.set()

    def _hear(self) -> None:
        """Take what has come back."""
        if self._reader is None:
            return
        at = self._rung_at
        numbers: list[int] = []
        while frames := self._due(self._reader):
            for frame in frames:
                self._reader.passed(frame)
                if (number := self._own(frame)) is not None:
                    numbers.append(number)
        for seconds in self._trips.came(numbers, at, self._hub.watches) if numbers else ():
            self._observer.bell_heard(seconds)

    def _due(self, reader: Reader) -> list[Frame]:
        frames = reader.due()
        if not reader.lagging:
            return frames
        self._trips.asks(self._clock())
        found = reader.read_lagging()
        self._trips.answered()
        return found

    def _own(self, frame: Frame) -> int | None:
        """The number of an entry of this process's; None: it is another's."""
        whose, _, number = frame.entry.event.data.partition(" ")
        return int(number) if whose == self._me and frame.gap is None else None
