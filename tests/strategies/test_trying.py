"""Trying again by a policy, which everything in this library does in one way."""

from __future__ import annotations

import pytest

from streamy_core import BrokerUnavailable
from streamy_core.strategies import FixedDelay, NoRetry, RetryPolicy
from streamy_core.strategies.trying import PAUSE_AFTER_GIVING_UP, Attempts, keep_trying


class Action:
    """Fails so many times, and then answers."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise BrokerUnavailable(f"{self.left} to come")
        return "done"


def tried(action: Action, policy: RetryPolicy, *, endless: bool = False) -> tuple[str, list[float]]:
    waited: list[float] = []
    result = keep_trying(action, policy, wait=waited.append, failed=lambda *_: None, endless=endless)
    return result, waited


def test_it_waits_as_the_policy_says_until_the_action_answers() -> None:
    assert tried(Action(2), FixedDelay(0.5, retries=3)) == ("done", [0.5, 0.5])


def test_the_last_error_is_raised_when_the_policy_gives_up() -> None:
    told: list[tuple[str, int, float | None]] = []
    with pytest.raises(BrokerUnavailable, match=r"^0 to come$"):
        keep_trying(
            Action(2),
            FixedDelay(0.5, retries=1),
            wait=lambda _: None,
            failed=lambda error, attempt, delay: told.append((str(error), attempt, delay)),
        )
    assert told == [("1 to come", 1, 0.5), ("0 to come", 2, None)]


def test_a_wait_that_is_cut_short_ends_the_series() -> None:
    action = Action(5)
    with pytest.raises(BrokerUnavailable):
        keep_trying(action, FixedDelay(0.5), wait=lambda _: True, failed=lambda *_: None)
    assert action.left == 4


def test_an_endless_series_begins_anew_after_a_pause() -> None:
    attempts = Attempts(FixedDelay(0.5, retries=1), endless=True)
    assert [attempts.after_failure() for _ in range(4)] == [
        0.5,
        PAUSE_AFTER_GIVING_UP,
        0.5,
        PAUSE_AFTER_GIVING_UP,
    ]


def test_an_action_that_must_not_be_given_up_is_tried_until_it_answers() -> None:
    result, waited = tried(Action(3), FixedDelay(0.5, retries=1), endless=True)
    assert (result, waited) == ("done", [0.5, PAUSE_AFTER_GIVING_UP, 0.5])


def test_a_success_ends_a_series_of_failures() -> None:
    attempts = Attempts(FixedDelay(0.5, retries=1))
    assert attempts.after_failure() == 0.5
    attempts.after_success()
    assert attempts.after_failure() == 0.5


def test_what_is_no_passing_fault_is_not_tried_again() -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        keep_trying(fail, FixedDelay(0.5), wait=lambda _: None, failed=lambda *_: None)


def test_without_retries_there_is_one_attempt() -> None:
    with pytest.raises(BrokerUnavailable):
        tried(Action(1), NoRetry())
