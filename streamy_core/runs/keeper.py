"""Tells others which runs this process holds, and ends those of others that are held by nobody any more."""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Collection
from typing import Final

from ..broker import ForkGuard
from ..commands import leases_event, parse_stop
from ..engine.follower import Follower
from ..engine.frames import Frame
from ..engine.hub import Hub
from ..engine.outcomes import RunEnd, RunOutcome, start_of
from ..engine.publisher import Publisher
from ..errors import BrokerUnavailable, Closed, ConfigError, PublishFailed, StreamEnded
from ..events import LEASES
from ..ids import OLDEST, epoch_of, sequence_of
from ..observers import Observer
from ..strategies.retry import RetryPolicy
from ..tally import Tally
from .held import Held
from .leases import Lease, Leases, message_of

_PART: Final = 3
"""So many times within a lease a process tells of it."""

_AGAIN: Final = 0.5
"""Seconds until what failed is tried again."""

_LOOK: Final = 0.25
"""Seconds between two looks for commands, where the hub has stopped."""

_AT_ONCE: Final = 500
"""Streams that are looked at by one read."""

_LONGEST: Final = 5.0
"""Seconds between two turns at most, while there is anything."""

logger: Final = logging.getLogger("streamy.runs")


class Keeper:
    """A thread, from the first run on that is known of, until `close`. Any thread; a fork begins anew.

    A producer that blocks doesn't keep it from telling; a process that stands still does.
    """

    _me: str
    _held: set[Held]
    _lock: threading.Lock
    _woken: threading.Event
    _leases: Leases
    _thread: threading.Thread | None
    _follower: Follower | None
    _renew_at: float
    _has_told: bool
    _number: int  # of runs that it has begun to hold
    _seen_at: float  # when others are told next of readers here
    _stop_at: float
    _is_deaf: bool  # what others tell couldn't be read
    _watches: int  # how many the hub had made, as was seen last: a new one may have missed something

    def __init__(
        self,
        hub: Hub,
        publisher: Publisher,
        retry: RetryPolicy,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hub = hub
        self._publisher = publisher
        self._retry = retry
        self._observer = observer
        self._clock = clock
        self._closed = False
        self._tally = Tally()
        self._guard = ForkGuard(self._start)

    def follow(self) -> None:
        """Hear of the runs of others, and end those that are lost. Calling it again does nothing."""
        self._guard.check()
        with self._lock:
            if self._follower is None and not self._closed:
                self._follower = Follower(self._hub, LEASES, self._hear, self._retry, name="streamy-leases")

    def hold(self, held: Held) -> None:
        """Tell that this process holds a run, before that begins. Raises PublishFailed, Closed."""
        self.follow()
        with self._lock:
            self._held.add(held)
            self._number += 1
            number = self._number
        self._begin()
        try:
            alone = {} if held.alone is None else {held.stream_id: held.alone}
            told = message_of(
                self._me, {held.stream_id: held.lease}, everything=False, number=number, alone=alone
            )
            ids = self._publisher.append_own(LEASES, [leases_event(told)])
            if held.told_at is None:
                held.told_at = ids[0]
        except BaseException:
            self.release(held)
            raise
        with self._lock:
            self._has_told = True
            self._renew_at = min(self._renew_at, self._clock() + held.lease / _PART)
        self._woken.set()

    def release(self, held: Held) -> None:
        """It has ended, or never began. Where its log may say otherwise, it is ended as lost later."""
        if self._guard.inherited:
            return
        if held.unsettled:
            self._leases.give_up(held.stream_id, held.lease, self._clock())
            self._woken.set()
        with self._lock:
            self._held.discard(held)

    def begun(self, held: Held) -> None:
        """It is this process's, also if it had given up one of this name before."""
        held.begun = True
        self._leases.forget([held.stream_id])

    def stop(self, stream_id: str) -> bool:
        """Have the run of this stream stop; whether it is this process that holds it, for sure."""
        found = [held for held in self.all_held() if held.stream_id == stream_id]
        for held in found:  # of several that try to begin it, one has it
            held.stop()
        return any(held.begun for held in found)

    def all_held(self) -> list[Held]:
        """All that it holds."""
        if self._guard.inherited:
            return []
        with self._lock:
            return list(self._held)

    def known(self) -> dict[str, Lease]:
        """The runs of others, as far as they have told."""
        self._guard.check()
        return self._leases.snapshot()

    def wait_until_known(self, timeout: float) -> bool:
        """Wait until what was told before has been heard."""
        return self._follower is not None and self._follower.wait(timeout)

    def stop_at(self, when: float) -> None:
        """Have all that it holds end as lost at this time, by `time.monotonic`, unless they end before."""
        if not self._guard.inherited:
            self._stop_at = min(self._stop_at, when)
            self._woken.set()

    def end_lost(self, names: Collection[str]) -> None:
        """End these as lost, but for those that have ended. One that can't be ended keeps no other from it.

        Raises BrokerUnavailable, PublishFailed.
        """
        failure: PublishFailed | None = None
        waiting = list(names)
        while waiting:
            some, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
            failure = self._end_some(some) or failure
        if failure is not None:
            raise failure

    def _end_some(self, names: Collection[str]) -> PublishFailed | None:
        failure: PublishFailed | None = None
        log = self._hub.log
        tails = dict(log.tail(names))
        pages = {name: page for name, (_, page) in log.read(tails, 2**16, 1).items()}
        over = {name for name, page in pages.items() if page.ended} | self._others_of(names)
        self._leases.forget(over)
        for name in names:
            if name in over:
                continue
            if sequence_of(pages[name].cursor) == 0:
                self._leases.missing(name, self._clock())
                continue
            try:
                self._publisher.publish_last(name, [RunEnd(RunOutcome.LOST).as_event()])
            except StreamEnded:
                pass
            except PublishFailed as error:
                failure = error
                continue
            else:
                self._observer.run_ended(name, RunOutcome.LOST, None)
            self._leases.forget([name])
        return failure

    def _others_of(self, names: Collection[str]) -> set[str]:
        """Those of these streams that are no runs, as their first entry says, where it is kept: somebody has
        published there between a starter's look at it and its first entry."""
        firsts = self._hub.log.read(dict.fromkeys(names, OLDEST), 2**16, 1)
        entries = {name: frames[0].entry for name, (frames, _) in firsts.items() if frames}
        return {
            name
            for name, entry in entries.items()
            if sequence_of(entry.id) == 1 and start_of(entry.event) is None
        }

    @property
    def stops_at(self) -> float:
        """When that is."""
        return self._stop_at

    def close(self) -> None:
        """Tell and end nothing more. Closing twice does nothing."""
        self._closed = True
        if self._guard.inherited:
            return
        self._woken.set()
        if self._follower is not None:
            self._follower.close()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1)

    def _start(self) -> None:
        self._me = secrets.token_hex(8)
        self._held = set()
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._leases = Leases(self._me, self._see)
        self._thread = None
        self._follower = None
        self._renew_at = math.inf
        self._has_told = False
        self._number = 0
        self._seen_at = 0.0
        self._stop_at = math.inf
        self._is_deaf = False
        self._watches = 1

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed:
                self._watches = max(1, self._hub.watches)
                thread = threading.Thread(target=self._run, name="streamy-runs", daemon=True)
                thread.start()
                self._thread = thread

    def _hear(self, frame: Frame, live: bool) -> None:
        if frame.gap is not None:
            self._leases.restart(self._clock())
            return
        # Those of before, too: a run that has just begun may have been stopped before this was heard.
        if (stream_id := parse_stop(frame.entry.event)) is not None:
            self._stop_by(stream_id, frame.entry.id)
            return
        self._leases.hear(frame.entry.event.data, self._clock())
        if len(self._leases) and not self._closed:
            self._begin()
            self._woken.set()

    def _stop_by(self, stream_id: str, entry_id: str) -> None:
        """Have it stop by what others have told, unless that was of another run, before this one's name was
        free again."""
        for held in self.all_held():
            told_at = held.told_at
            if held.stream_id == stream_id and told_at is not None and not _is_before(entry_id, told_at):
                held.stop()

    def _see(self, stream_id: str, now: float) -> None:
        for held in self.all_held():
            if held.stream_id == stream_id:
                held.seen_at = now

    def _run(self) -> None:
        while not self._closed:
            timeout = _LONGEST
            try:
                timeout = self._turn(self._clock())
            except Closed:
                return
            except Exception:
                logger.exception("the keeper of runs goes on after an error")
                timeout = _AGAIN
            self._woken.wait(timeout)
            self._woken.clear()

    def _turn(self, now: float) -> float:
        """Do what is due. Seconds until something is again."""
        if self._hub.watches > self._watches:
            self._watches = self._hub.watches
            self._leases.restart(now)
        next_at = [now + _LONGEST, self._renew(now), self._stop_alone(now), self._stop_all(now)]
        if self._hub.closed:
            self._look_for_commands()
            next_at.append(now + _LOOK)
        else:
            next_at.append(self._sweep(now))
        return max(0.0, min(next_at) - self._clock())

    def _renew(self, now: float) -> float:
        """Tell of all that is held, if it is time. When it is again."""
        with self._lock:
            held, number = list(self._held), self._number
            if not held and not self._has_told:
                self._renew_at = math.inf
            if now < self._renew_at:
                return self._renew_at
        every = min((one.lease for one in held), default=_LONGEST) / _PART
        alone = {one.stream_id: one.alone for one in held if one.alone is not None}
        runs = {one.stream_id: one.lease for one in held}
        try:
            everything = not self._leases.has_given_up  # others are to end those, if this one can't
            self._tell(message_of(self._me, runs, everything=everything, number=number, alone=alone))
        except BrokerUnavailable as error:
            self._warn("others can't be told which runs this process holds", error)
            self._renew_at = now + min(_AGAIN, every / _PART)
            return self._renew_at
        with self._lock:
            # What has begun meanwhile was told of by itself, and is to be told of in time again.
            held = list(self._held)
            self._has_told = bool(held) or self._number != number
            every = min((one.lease for one in held), default=_LONGEST) / _PART
            self._renew_at = now + every if self._has_told else math.inf
        return self._renew_at

    def _tell(self, message: str) -> None:
        self._publisher.tell(LEASES, leases_event(message))

    def _stop_alone(self, now: float) -> float:
        """Stop what nobody reads any more; tell others of what is read here. When to look again."""
        next_at = math.inf
        for held in self.all_held():
            if held.alone is None:
                continue
            if self._hub.has_readers(held.stream_id):
                held.seen_at = now
            if now >= held.seen_at + held.alone:
                held.stop()
            next_at = min(next_at, now + held.alone / _PART)
        wanting = [name for name in self._leases.wanting_readers() if self._hub.has_readers(name)]
        if wanting and now >= self._seen_at:
            waits = [lease.alone for lease in self._leases.snapshot().values() if lease.alone is not None]
            self._seen_at = now + min(waits, default=_LONGEST) / _PART
            try:
                self._tell(message_of(self._me, {}, everything=False, seen=wanting))
            except BrokerUnavailable:
                self._seen_at = now + _AGAIN
        return min(next_at, self._seen_at if wanting else math.inf)

    def _stop_all(self, now: float) -> float:
        """Have all end as lost, once it is time."""
        if now < self._stop_at:
            return self._stop_at
        for held in self.all_held():
            held.stop(RunOutcome.LOST)
            if now >= self._stop_at + _AGAIN:  # its producer doesn't look
                held.finish(whole=False)
        return now + _LOOK if self.all_held() else math.inf

    def _look_for_commands(self) -> None:
        try:
            if self._held and self._follower is not None:
                self._follower.refresh()
        except BrokerUnavailable as error:
            self._warn("whether runs are to be stopped can't be read", error)

    def _sweep(self, now: float) -> float:
        """End what is lost. When to look again.

        Where this process could not hear for a while, its holder may not have been able to tell, either.
        """
        if self._follower is not None and (self._is_deaf or self._leases.overdue(now)):
            try:
                # What has come meanwhile: a bell may be late, or this process may have stood still.
                self._follower.refresh()
                if self._is_deaf:
                    self._leases.restart(self._clock())
                    self._is_deaf = False
                held = {one.stream_id for one in self.all_held()}
                self._leases.restart(self._clock(), held)  # given up once, and tried anew
                self.end_lost(self._leases.overdue(self._clock()))
            except (BrokerUnavailable, PublishFailed, ConfigError) as error:
                self._warn("runs that may be lost can't be looked at", error)
                self._is_deaf = True
                return now + _AGAIN
        return self._leases.next_due() or math.inf

    def _warn(self, what: str, error: Exception) -> None:
        if count := self._tally.count(what):
            logger.warning("%s (%d times since it was last said): %s", what, count, error)


def _is_before(one: str, other: str) -> bool:
    """Whether this id is before the other one for sure: that of a log that began anew isn't."""
    first, second = sequence_of(one), sequence_of(other)
    return first is not None and second is not None and first < second and epoch_of(one) == epoch_of(other)
