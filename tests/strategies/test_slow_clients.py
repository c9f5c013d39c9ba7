"""What the policies for slow clients decide."""

from __future__ import annotations

import logging

import pytest

from streamy_core.strategies import Disconnect, Lag, SkipToLatest, SlowClientPolicy, Verdict
from streamy_core.strategies.slow_clients import verdict_on

LAG = Lag(entries=5, bytes=10, stalled=1.0)


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        (Disconnect(seconds=1.0), Verdict.WAIT),
        (Disconnect(seconds=0.9), Verdict.DISCONNECT),
        (Disconnect(entries=5), Verdict.WAIT),
        (Disconnect(entries=4), Verdict.DISCONNECT),
        (SkipToLatest(entries=5), Verdict.WAIT),
        (SkipToLatest(entries=4), Verdict.SKIP),
        (SkipToLatest(entries=4, seconds=0.9), Verdict.DISCONNECT),
    ],
    ids=repr,
)
def test_a_client_may_be_behind_by_as_much_as_the_policy_says(
    policy: SlowClientPolicy, verdict: Verdict
) -> None:
    assert policy.decide(LAG) is verdict


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        (Disconnect(), Verdict.WAIT),
        (Disconnect(entries=10**9), Verdict.DISCONNECT),
        (SkipToLatest(entries=10**9), Verdict.SKIP),
    ],
    ids=repr,
)
def test_more_than_this_process_keeps_is_more_than_any_number(
    policy: SlowClientPolicy, verdict: Verdict
) -> None:
    assert policy.decide(Lag(entries=None, bytes=0, stalled=0.0)) is verdict


def test_a_policy_that_fails_lets_the_client_stay_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def decide(self, lag: Lag) -> Verdict:
            raise ZeroDivisionError("a bug")

    assert verdict_on(LAG, Broken()) is Verdict.WAIT
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "the slow-client policy failed" in record.getMessage()
