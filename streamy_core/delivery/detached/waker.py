"""Waking the loop from any thread."""

from __future__ import annotations

import selectors

from ...broker import Waker


class LoopWaker(Waker):
    """A waker that costs a system call only while its selector waits.

    The selector's thread says when it is about to wait, then looks whether it has something to do, and
    only then waits: so what comes while it is awake costs nothing, and nothing is missed.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        super().__init__(selector)
        self._waiting = False

    def wake(self) -> None:
        """Wake the selector, unless it is awake or being woken. Any thread."""
        if self._waiting:
            self._waiting = False
            super().wake()

    def before_wait(self) -> None:
        """From now on waking is needed."""
        self._waiting = True

    def after_wait(self) -> None:
        """From now on it isn't."""
        self._waiting = False
