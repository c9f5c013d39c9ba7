"""The watch: asks for the heads of all its streams, at intervals and when the database's bell rings."""

from __future__ import annotations

from typing import Final

from streamy_core.broker import PollingWatch, PollScheduler
from streamy_core.broker.watches import Look, OnClose

from .bells import Bell

_A_DAY: Final = 86_400.0


class SqlWatch(PollingWatch):
    """See the module; publishers of this process call `look_soon`.

    bell:    sleeps until the database rings it; closed with the watch.
    polling: with a bell that hears of other processes, it is asked for the longest interval only.
    """

    def __init__(self, look: Look, bell: Bell, polling: PollScheduler, on_close: OnClose) -> None:
        super().__init__(look, polling, on_close)
        self._bell = bell

    def _sleep(self, timeout: float | None) -> None:
        if self._bell.wait(timeout, listening=bool(self._seen)):
            self.look_soon()

    def _wake(self) -> None:
        self._bell.wake()

    def _free(self) -> None:
        self._bell.close()

    def _idle_for(self, now: float) -> float:
        return _A_DAY if self._bell.hears else super()._idle_for(now)
