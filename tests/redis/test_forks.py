"""A forked process has connections of its own, and leaves its parent's alone."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streamy_backends.redis.broker import RedisBroker
from streamy_core.broker import Broker
from streamy_core.testing.reading import data_of, events, eventually, read_all, tail, wait_for_bell

from .conftest import NewBroker


def in_child(action: Callable[[], object]) -> int:
    """Do this in a forked process that ends without a word to the parent's; its id."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException:  # noqa: BLE001 - a child must never return into the tests
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def succeeds(pid: int) -> bool:
    return os.waitpid(pid, 0)[1] == 0


@pytest.fixture(params=["alone", "of a cluster", "shared"])
def used_broker(
    request: pytest.FixtureRequest, shared: Callable[[str], Any], new_broker: NewBroker
) -> Broker:
    """A broker that has connections already, and a watch."""
    options: dict[str, Any] = {}
    if request.param == "shared":
        made = request.getfixturevalue("make_client")
        options["client"] = made("valkey")
    broker = new_broker(shared("cluster" if request.param == "of a cluster" else "valkey").url, **options)
    broker.watch().add("news")
    broker.append("news", events("before"))
    return broker


def write_and_read_back(broker: Broker, who: str) -> None:
    """Fail unless every answer is the one to what was asked."""
    ids = []
    for n in range(50):
        ids += broker.append(who, events(f"{who} {n}"))
        broker.append("news", events(f"{who} {n}"))
        assert tail(broker, who) == ids[-1]
    found = read_all(broker, who)
    assert [entry.id for entry in found] == ids
    assert data_of(found) == [f"{who} {n}" for n in range(50)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_publishes_and_reads_at_the_same_time(used_broker: Broker) -> None:
    child = in_child(lambda: write_and_read_back(used_broker, "child"))
    try:
        write_and_read_back(used_broker, "parent")
    finally:
        well = succeeds(child)
    assert well
    seen = data_of(read_all(used_broker, "news"))
    for who in ("parent", "child"):
        assert [data for data in seen if data.startswith(who)] == [f"{who} {n}" for n in range(50)]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_hears_bells_of_its_own(used_broker: Broker) -> None:
    watch = used_broker.watch()
    watch.add("news")

    def listen() -> None:
        mine = used_broker.watch()
        mine.add("bells")
        used_broker.append("listening", events("child"))
        wait_for_bell(mine, "bells")
        eventually(lambda: read_all(used_broker, "bells"), "what the parent has published")

    child = in_child(listen)
    eventually(lambda: read_all(used_broker, "listening"), "a child that listens")
    used_broker.append("bells", events("parent"))
    assert succeeds(child)
    used_broker.append("news", events("after"))
    wait_for_bell(watch, "news")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_that_closes_leaves_the_parents_connections_alone(used_broker: Broker) -> None:
    watch = used_broker.watch()
    watch.add("news")
    wait_for_bell(watch, "news")

    def use_and_close() -> None:
        used_broker.append("child", events("child"))
        used_broker.close()

    assert succeeds(in_child(use_and_close))
    assert succeeds(in_child(used_broker.close))
    used_broker.append("news", events("after"))
    wait_for_bell(watch, "news")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("use", [lambda broker: broker.append("child", events("a")), RedisBroker.close])
def test_a_lock_that_another_thread_held_at_the_fork_holds_nobody_up(
    new_broker: NewBroker, shared: Callable[[str], Any], use: Callable[[Broker], object]
) -> None:
    broker = new_broker(shared("valkey").url)
    assert isinstance(broker, RedisBroker)

    def use_in_time() -> None:
        signal.alarm(10)
        use(broker)

    with broker._lock:
        child = in_child(use_in_time)
    assert succeeds(child)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_is_forked_while_threads_publish_is_not_held_up(used_broker: Broker) -> None:
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            used_broker.append("busy", events("parent"))

    with ThreadPoolExecutor(4) as pool:
        publishers = [pool.submit(publish) for _ in range(4)]
        try:
            children = [
                in_child(lambda who=f"child {n}": write_and_read_back(used_broker, who))  # type: ignore[misc]
                for n in range(3)
            ]
            assert [succeeds(child) for child in children] == [True] * 3
        finally:
            stop.set()
        for publisher in publishers:
            publisher.result()
