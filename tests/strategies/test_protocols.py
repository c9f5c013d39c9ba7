"""A strategy is any object that has the method; ours are such objects."""

from __future__ import annotations

from typing import Any

import pytest

from streamy_core.broker import AdaptivePolling, FixedPolling, PollScheduler
from streamy_core.strategies import (
    Disconnect,
    ExponentialBackoff,
    FixedDelay,
    FixedInterval,
    Jittered,
    KeepAliveScheduler,
    Never,
    NoRetry,
    RetryPolicy,
    SkipToLatest,
    SlowClientPolicy,
)

PROTOCOLS: dict[type, tuple[str, list[object]]] = {
    RetryPolicy: ("delay", [ExponentialBackoff(), FixedDelay(), NoRetry()]),
    KeepAliveScheduler: ("due_in", [FixedInterval(), Jittered(), Never()]),
    SlowClientPolicy: ("decide", [Disconnect(), SkipToLatest()]),
    PollScheduler: ("due_in", [AdaptivePolling(), FixedPolling(1.0)]),
}


@pytest.fixture(params=PROTOCOLS, ids=lambda protocol: protocol.__name__)
def protocol(request: pytest.FixtureRequest) -> type:
    found: type = request.param
    return found


def test_ours_are_such_objects(protocol: type) -> None:
    assert [type(ours).__name__ for ours in PROTOCOLS[protocol][1] if not isinstance(ours, protocol)] == []


def test_any_object_with_the_method_is_one(protocol: type) -> None:
    method, _ = PROTOCOLS[protocol]
    mine: Any = type("Mine", (), {method: lambda self, given: None})
    assert isinstance(mine(), protocol)
    assert not isinstance(object(), protocol)
