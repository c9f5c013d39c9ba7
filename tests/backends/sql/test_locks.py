"""A lock that somebody else holds on a stream: how long it is waited for, and whom it holds up."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import pytest

from streamy_core import BrokerUnavailable
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read_all

from ..conftest import NewBroker, NewManager
from .servers import Server

pytestmark = pytest.mark.slow

TIMEOUT: Final = 1.0
"""Of the brokers that are kept waiting, in seconds."""
SLACK: Final = 1.0
"""Seconds by which a busy machine may be late."""

Lock = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def lock(shared: Callable[[str], Server], prefix: str) -> Lock:
    """Somebody else holds the lock on the row of stream "news" of the database at this URL meanwhile."""

    @contextmanager
    def locked(url: str) -> Iterator[None]:
        kind = url.partition(":")[0]
        if kind == "sqlite":
            connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            connection.execute("BEGIN IMMEDIATE")
        else:
            connection = shared(kind).connect()
            db = connection.cursor()
            db.execute("BEGIN")
            db.execute(f"SELECT head FROM {prefix}streams WHERE stream_id = 'news' FOR UPDATE")
            assert db.fetchall()
        try:
            yield
        finally:
            connection.rollback()
            connection.close()

    return locked


def test_a_lock_is_waited_for_in_vain_for_the_timeout_and_no_longer(
    url: str, new_broker: NewBroker, lock: Lock
) -> None:
    broker = new_broker(url, timeout=TIMEOUT)
    broker.append("news", events("a"))
    with lock(url):
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            broker.append("news", events("b"), idempotency_key="b")
        assert TIMEOUT * 0.9 < time.monotonic() - began < TIMEOUT + SLACK
    broker.append("news", events("b"), idempotency_key="b")
    assert data_of(read_all(broker, "news")) == ["a", "b"]


def test_a_lock_on_a_stream_holds_up_no_readers(url: str, new_broker: NewBroker, lock: Lock) -> None:
    broker = new_broker(url, timeout=TIMEOUT)
    broker.append("news", events("a"))
    with lock(url):
        assert data_of(read_all(broker, "news")) == ["a"]


def test_publishing_goes_on_by_the_retry_policy_when_a_lock_is_given_back(
    url: str, new_manager: NewManager, lock: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    sse = new_manager(url, timeout=TIMEOUT)
    sse.send_event("news", "a")
    with ThreadPoolExecutor(1) as pool:
        with lock(url):
            sending = pool.submit(sse.send_event, "news", "b")
            eventually(lambda: "attempt 1" in caplog.text, "a failure")
        sending.result(DEADLINE)
    assert data_of(read_all(sse.broker, "news")) == ["a", "b"]


def test_a_lock_is_not_waited_for_longer_without_notify(
    url_of: Callable[[str], str], new_broker: NewBroker, lock: Lock
) -> None:
    url = url_of("postgresql")
    broker = new_broker(url, timeout=TIMEOUT, notify=False)
    broker.append("news", events("a"))
    with ThreadPoolExecutor(1) as pool:
        with lock(url):
            trying = pool.submit(broker.append, "news", events("b"))
            done, _ = wait([trying], TIMEOUT + SLACK)
        assert done, "it waits on and on"
        assert isinstance(trying.exception(), BrokerUnavailable)
