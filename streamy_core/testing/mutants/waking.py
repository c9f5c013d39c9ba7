"""Watches that each break one promise of waiting, of waking, or of closing."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

from ...broker import BaseWatch, Closed
from .breaking import breaks
from .sound import SoundBroker

_NEVER = "the watch never named"


@breaks(an_interrupt_before_wait_is_not_forgotten="the interrupt before `wait` was forgotten")
class ForgetsAnEarlyInterrupt(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        self._interrupted = False
        return super().wait(timeout)


@breaks(interrupt_makes_a_wait_under_way_return="`interrupt` makes the wait under way return: not within")
class IsNotInterruptedWhileItWaits(BaseWatch):
    def interrupt(self) -> None:
        self._interrupted = True


@breaks(
    closing_makes_a_wait_under_way_return="closing the watch makes the wait under way return: not",
    closing_the_broker_makes_a_wait_under_way_return="closing the broker makes the wait",
)
class WaitsOnWhenClosed(BaseWatch):
    def close(self) -> None:
        self._closed = True


@breaks(
    a_closed_watch_waits_no_more="DID NOT RAISE Closed",
    closing_the_broker_closes_its_watches="DID NOT RAISE Closed",
)
class WaitsThoughClosed(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        return () if self._closed else super().wait(timeout)


@breaks(wait_returns_after_its_timeout="a silent stream never stops ringing")
class RingsForEver(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        super().wait(0)
        return list(self._names)


@breaks(wait_returns_after_its_timeout="not within")
class KnowsNoTimeout(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        return super().wait(None)


@breaks(wait_blocks_while_there_is_nothing_to_tell="`wait` doesn't block")
class NeverBlocks(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        return super().wait(0)


@breaks(
    closing_the_broker_closes_its_watches="DID NOT RAISE Closed",
    closing_the_broker_makes_a_wait_under_way_return="closing the broker makes the wait",
)
class LeavesItsWatchesOpen(SoundBroker):
    def close(self) -> None:
        self._watches = ()
        super().close()


@breaks(closing_the_broker_makes_a_wait_under_way_return="closing the broker makes the wait")
class ClosesItsWatchesQuietly(SoundBroker):
    """It wakes no `wait` that is under way."""

    def close(self) -> None:
        for watch in self._watches:
            vars(watch)["_closed"] = True
        self._watches = ()
        super().close()


@breaks(a_watch_at_rest_names_nothing_and_leaves_the_cpu_alone="of CPU")
class SpinsInWait(BaseWatch):
    def _listen(self, timeout: float | None) -> None:
        end = time.monotonic() + min(0.01, 0.01 if timeout is None else timeout)
        while time.monotonic() < end and not self._is_due():
            pass


@breaks(
    wait_blocks_while_there_is_nothing_to_tell="`wait` doesn't block",
    an_interrupt_makes_one_wait_return_and_no_other="an interrupt is still in force",
)
class ReturnsAtOnceForNothing(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        return super().wait(None if timeout is None else min(timeout, 0.001))


@breaks(an_interrupt_makes_one_wait_return_and_no_other="an interrupt is still in force")
class StaysInterrupted(BaseWatch):
    ever: bool = False

    def wait(self, timeout: float | None) -> Collection[str]:
        self._interrupted = self.ever = self._interrupted or self.ever
        return super().wait(timeout)


@breaks(an_interrupt_makes_one_wait_return_and_no_other="an interrupt is still in force")
class CountsInterrupts(BaseWatch):
    """An interrupt is in force until a wait has been told of it twice."""

    more: bool = False

    def interrupt(self) -> None:
        self.more = True
        super().interrupt()

    def wait(self, timeout: float | None) -> Collection[str]:
        was_interrupted = self._interrupted
        rung = super().wait(timeout)
        if was_interrupted and self.more:
            self.more, self._interrupted = False, True
        return rung


@breaks(an_interrupt_forgets_no_bell=_NEVER)
class ForgetsBellsAtAnInterrupt(BaseWatch):
    def interrupt(self) -> None:
        super().interrupt()
        self._rung.clear()


class WakesLate(BaseWatch):
    """A base: `_wake` comes 3 seconds late."""

    def late(self) -> None:
        timer = threading.Timer(3, self.wake_at_last)
        timer.daemon = True
        timer.start()

    def wake_at_last(self) -> None:
        with self._lock:
            super()._wake()

    def _listen(self, timeout: float | None) -> None:
        with self._changed:
            self._changed.wait(timeout)


@breaks(
    closing_makes_a_wait_under_way_return="not within",
    closing_the_broker_makes_a_wait_under_way_return="not within",
    closing_a_watch_that_hears_streams_makes_its_wait_return="not within",
)
class IsClosedThreeSecondsLate(WakesLate):
    def _wake(self) -> None:
        if self._closed:
            self.late()
        else:
            super()._wake()


@breaks(interrupt_makes_a_wait_under_way_return="not within")
class IsInterruptedThreeSecondsLate(WakesLate):
    def _wake(self) -> None:
        if self._interrupted and not self._closed:
            self.late()
        else:
            super()._wake()


@breaks(closing_a_watch_that_hears_streams_makes_its_wait_return="not within")
class ClosesOnlyWhenItHearsNothing(BaseWatch):
    def _wake(self) -> None:
        if not (self._closed and self._names):
            super()._wake()


@breaks(a_closed_watch_waits_no_more="has been closed already")
class ClosesAWatchOnlyOnce(BaseWatch):
    def close(self) -> None:
        self._check_open()
        super().close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("it has been closed already")


@breaks(closing_a_watch_leaves_others_be=_NEVER)
class ClosesTheBellOfAll(SoundBroker):
    def _unwatch(self, watch: BaseWatch) -> None:
        self._watches = ()


@breaks(closing_the_broker_closes_its_watches="DID NOT RAISE Closed")
class ClosesTheNewestWatchOnly(SoundBroker):
    def close(self) -> None:
        self._watches = self._watches[-1:]
        super().close()


@breaks(wait_returns_after_its_timeout="")
class RoundsTimeoutsUp(BaseWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        return super().wait(timeout and max(timeout, 1.5))
