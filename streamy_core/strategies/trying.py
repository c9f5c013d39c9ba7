"""Trying again by a policy: the one place where anything in this library does it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from ..errors import BrokerUnavailable
from .retry import RetryPolicy, delay_after

PAUSE_AFTER_GIVING_UP: Final = 1.0
"""Seconds before a series that must not end begins anew."""

logger: Final = logging.getLogger("streamy.retry")

T = TypeVar("T")


class Attempts:
    """A series of attempts by a policy. For one thread at a time.

    endless: whether the series begins anew when the policy gives up, after a pause. That is logged.

    Its attribute `failed` is how many have failed in a row.
    """

    __slots__ = ("_endless", "_policy", "failed")

    def __init__(self, policy: RetryPolicy, *, endless: bool = False) -> None:
        self._policy = policy
        self._endless = endless
        self.failed: int = 0

    def after_failure(self) -> float | None:
        """Count a failure. Seconds to wait before the next attempt; None: give up."""
        self.failed += 1
        delay = delay_after(self._policy, self.failed)
        if delay is None and self._endless:
            logger.error("the retry policy gives up after %d attempts; they begin anew", self.failed)
            self.failed = 0
            return PAUSE_AFTER_GIVING_UP
        return delay

    def after_success(self) -> None:
        """The next failure is the first of a new series."""
        self.failed = 0


def keep_trying(
    action: Callable[[], T],
    policy: RetryPolicy,
    *,
    wait: Callable[[float], object],
    failed: Callable[[BrokerUnavailable, int, float | None], None],
    endless: bool = False,
    after: BrokerUnavailable | None = None,
) -> T:
    """What `action` returns, tried again, as the policy says, while it raises BrokerUnavailable.

    wait:    waits so many seconds between two attempts; true ends the series, as if the policy gave up.
    failed:  told of each failure: the error, how many there have been in a row, and the seconds until
             the next attempt, None if there is none. What it raises ends the series, too.
    endless: as for `Attempts`.
    after:   what the first attempt has raised, where that was made without this function: a call that
             hardly ever fails is cheaper so.

    Raises the last BrokerUnavailable when the series ends without success.
    """
    attempts = Attempts(policy, endless=endless)
    while True:
        try:
            if after is not None:
                raise after
            return action()
        except BrokerUnavailable as error:
            after = None
            delay = attempts.after_failure()
            failed(error, attempts.failed, delay)
            if delay is None or wait(delay):
                raise
