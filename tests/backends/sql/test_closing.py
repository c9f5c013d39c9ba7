"""What a closed broker gives back, whoever is using it at that time."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from streamy_backends.sql.broker import SqlBroker
from streamy_core import BrokerUnavailable, Closed
from streamy_core.broker import Broker, Watch
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read_all, wait_for_bell

from ..conftest import NewBroker

pytestmark = pytest.mark.slow


def descriptors() -> int:
    """How many are open, but for those that other tests have left to the garbage collector."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def use(broker: Broker) -> None:
    """Have it open all that it ever opens: connections, watches, threads."""
    watch = broker.watch()
    watch.add("news")
    broker.append("news", events("a"))
    wait_for_bell(watch, "news")


@pytest.fixture
def used(url: str, new_broker: NewBroker) -> Broker:
    broker = new_broker(url)
    use(broker)
    return broker


def test_a_hundred_brokers_that_were_closed_leave_nothing_open(url: str, new_broker: NewBroker) -> None:
    with new_broker(url) as broker:
        use(broker)
    before, running = descriptors(), threads()
    for _ in range(100):
        with new_broker(url) as broker:
            use(broker)
    assert descriptors() <= before
    assert threads() <= running


def test_a_used_broker_holds_what_it_then_gives_back(url: str, new_broker: NewBroker) -> None:
    before, running = descriptors(), threads()
    broker = new_broker(url)
    use(broker)
    assert descriptors() > before
    assert threads() > running
    broker.close()
    assert descriptors() <= before
    assert threads() <= running


def test_a_closed_watch_leaves_nothing_open(used: Broker) -> None:
    def watch_and_close() -> int:
        watch = used.watch()
        watch.add("news")
        watch.wait(0)
        watch.close()
        return descriptors()

    # SQLite keeps a descriptor for its next connection as long as another is open.
    assert len({watch_and_close() for _ in range(20)}) == 1


def test_watches_that_are_closed_while_they_are_waited_on_leave_nothing_open(used: Broker) -> None:
    def wait(watch: Watch, begin: threading.Barrier) -> None:
        begin.wait(DEADLINE)
        with suppress(Closed):
            watch.wait(None)

    def wait_and_close() -> int:
        watches = [used.watch() for _ in range(20)]
        begin = threading.Barrier(len(watches) + 1)
        with ThreadPoolExecutor(len(watches)) as pool:
            waiting = [pool.submit(wait, watch, begin) for watch in watches]
            begin.wait(DEADLINE)
            for watch in watches:
                watch.close()
            for one in waiting:
                one.result(DEADLINE)
        return descriptors()

    # SQLite keeps descriptors for its next connections as long as another is open.
    assert len({wait_and_close() for _ in range(5)}) == 1


def test_closing_the_broker_ends_a_wait_under_way(used: Broker) -> None:
    watch = used.watch()
    watch.add("silent")
    assert not watch.wait(0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.wait, None)
        eventually(waiting.running, "a wait under way")
        used.close()
        with suppress(Closed):
            assert not waiting.result(DEADLINE)
    with pytest.raises(Closed):
        watch.wait(0)


def test_several_threads_close_at_once(url: str, new_broker: NewBroker) -> None:
    before, running = descriptors(), threads()
    for _ in range(10):
        broker = new_broker(url)
        use(broker)
        begin = threading.Barrier(8)

        def close(broker: Broker = broker, begin: threading.Barrier = begin) -> None:
            begin.wait(DEADLINE)
            broker.close()

        with ThreadPoolExecutor(8) as pool:
            for closing in [pool.submit(close) for _ in range(8)]:
                closing.result(DEADLINE)
    assert descriptors() <= before
    eventually(lambda: threads() <= running, "their threads gone")


def test_closing_while_threads_publish_stores_what_was_promised(url: str, new_broker: NewBroker) -> None:
    running = threads()
    broker = new_broker(url)
    assert isinstance(broker, SqlBroker)
    promised: list[str] = []

    def publish(who: int) -> None:
        with suppress(Closed, BrokerUnavailable):
            for n in range(10_000):
                broker.append("busy", events(f"{who} {n}"))
                promised.append(f"{who} {n}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # see the tests below
        with ThreadPoolExecutor(6) as pool:
            publishing = [pool.submit(publish, who) for who in range(6)]
            eventually(lambda: len(promised) > 20, "some events")
            broker.close()
            for one in publishing:
                one.result(2 * DEADLINE)
        broker._database.close()
        gc.collect()
    assert threads() <= running
    assert set(promised) <= set(data_of(read_all(new_broker(url), "busy")))


def test_a_connection_that_is_in_use_at_the_close_is_closed_when_it_is_given_back(
    url_of: Callable[[str], str], new_broker: NewBroker
) -> None:
    broker = new_broker(url_of("postgresql"))
    assert isinstance(broker, SqlBroker)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with broker._database.autocommit("test") as db:
            broker.close()
            db.execute("SELECT 1")
        del db
        gc.collect()
    assert not warned


def test_a_thread_that_was_about_to_connect_at_the_close_leaves_nothing_open(
    url: str, new_broker: NewBroker
) -> None:
    before = descriptors()
    broker = new_broker(url)
    assert isinstance(broker, SqlBroker)
    broker.close()
    try:
        with suppress(Closed), broker._database.autocommit("test"):
            pass
        assert descriptors() <= before
    finally:
        broker._database.close()
