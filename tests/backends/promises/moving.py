"""Endpoints that lead to another server while connections to the old one, which takes no writes, stay up."""

from __future__ import annotations

import time
from typing import Final, Protocol

import pytest

from streamy_core import BrokerUnavailable, PublishFailed, StreamManager, Subscription
from streamy_core.strategies import NoRetry
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read_all

from ..conftest import NewManager

HEARD_WITHIN: Final = 5.0
PUBLISHED_WITHIN: Final = 2.0


def publish_until_it_works(sse: StreamManager, data: str) -> None:
    """It has to within `PUBLISHED_WITHIN`."""
    began = time.monotonic()

    def publish() -> bool:
        try:
            return bool(sse.send_event("news", data))
        except PublishFailed:
            return False

    eventually(publish, "publishing that works")
    assert time.monotonic() - began < PUBLISHED_WITHIN


def heard(subscription: Subscription, data: str) -> float:
    """After how many seconds the next entry came, which is to be this one, within `HEARD_WITHIN`."""
    began = time.monotonic()
    entry = subscription.next(DEADLINE)
    assert entry is not None, "nothing came"
    assert entry.event.data == data
    took = time.monotonic() - began
    assert took < HEARD_WITHIN
    return took


def texts(sse: StreamManager) -> list[str]:
    return data_of(read_all(sse.broker, "news"))


class Pair(Protocol):
    """Two servers with the same data. `url` leads to the one that takes no writes once it is demoted."""

    url: str
    new_url: str

    def demote(self) -> None:
        """Have the old server take no writes any more: connections stay up."""

    def promote(self) -> None:
        """Have it take writes again."""

    def move(self) -> None:
        """Have the URL lead to the new server from now on."""


class MovingPromises:
    """A subclass has a fixture `pair`, whose stream "news" has the event "before"."""

    def test_a_refusal_by_the_old_server_costs_no_error_once_the_endpoint_leads_to_the_new_one(
        self, pair: Pair, new_manager: NewManager
    ) -> None:
        sse = new_manager(pair.url, retry=NoRetry())
        sse.send_event("news", "a")
        pair.demote()
        pair.move()
        sse.send_event("news", "b")
        sse.end_stream("other")
        assert texts(new_manager(pair.new_url)) == ["before", "b"]

    def test_a_server_that_takes_no_writes_for_a_moment_is_published_to_when_it_does_again(
        self, pair: Pair, new_manager: NewManager
    ) -> None:
        sse, other = new_manager(pair.url), new_manager(pair.url)
        with other.subscribe("news") as subscription:
            eventually(lambda: other.health.streams == 1, "a stream that is watched")
            pair.demote()
            with pytest.raises(BrokerUnavailable):
                sse.broker.append("news", events("refused"))
            pair.promote()
            publish_until_it_works(sse, "a")
            heard(subscription, "a")
