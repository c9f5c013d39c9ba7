"""A forked process has connections of its own, and leaves its parent's alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamy_backends.redis.broker import RedisBroker
from streamy_core.broker import Broker
from streamy_core.testing.reading import events

from ...support.forks import forks, in_child, succeeds
from ..conftest import NewBroker
from ..promises.forks import ForkPromises

pytestmark = [pytest.mark.slow, forks]


class TestForks(ForkPromises):
    @pytest.fixture(params=["alone", "of a cluster", "shared"])
    def used_broker(
        self, request: pytest.FixtureRequest, shared: Callable[[str], Any], new_broker: NewBroker
    ) -> Broker:
        options: dict[str, Any] = {}
        if request.param == "shared":
            options["client"] = request.getfixturevalue("make_client")("valkey")
        url = shared("cluster" if request.param == "of a cluster" else "valkey").url
        broker = new_broker(url, **options)
        broker.append("news", events("before"))
        return broker


@pytest.mark.parametrize("use", [lambda broker: broker.append("child", events("a")), RedisBroker.close])
def test_a_lock_that_another_thread_held_at_the_fork_holds_nobody_up(
    new_broker: NewBroker, shared: Callable[[str], Any], use: Callable[[Broker], object]
) -> None:
    broker = new_broker(shared("valkey").url)
    assert isinstance(broker, RedisBroker)

    with broker._lock:
        child = in_child(lambda: use(broker))
    assert succeeds(child)
