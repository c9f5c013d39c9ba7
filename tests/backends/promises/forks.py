"""A forked process has connections of its own, and leaves its parent's alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import pytest

from streamy_core.broker import Broker, Watch
from streamy_core.testing.reading import data_of, events, eventually, read_all, tail, wait_for_bell

from ...support.forks import in_child, succeeds

ROUNDS: Final = 50


def write_and_read_back(broker: Broker, who: str) -> None:
    """Fail unless every answer is the one to what was asked."""
    ids = []
    for n in range(ROUNDS):
        ids += broker.append(who, events(f"{who} {n}"))
        broker.append("news", events(f"{who} {n}"))
        assert tail(broker, who) == ids[-1]
    found = read_all(broker, who)
    assert [entry.id for entry in found] == ids
    assert data_of(found) == [f"{who} {n}" for n in range(ROUNDS)]


@contextmanager
def threads_that_publish(broker: Broker, count: int = 4) -> Iterator[None]:
    """So many threads publish meanwhile. All of them have connections already.

    The locks of OpenSSL, held by a thread that connects, are no broker's to free in a child.
    """
    stop = threading.Event()
    connected: list[int] = []

    def publish() -> None:
        broker.append("busy", events("parent"))
        connected.append(1)
        while not stop.is_set():
            broker.append("busy", events("parent"))

    with ThreadPoolExecutor(count) as pool:
        publishers = [pool.submit(publish) for _ in range(count)]
        try:
            eventually(lambda: len(connected) == count, "all threads connected")
            yield
        finally:
            stop.set()
        for publisher in publishers:
            publisher.result()


class ForkPromises:
    """What holds on every backend that processes share. Subclassed with the fixture `used_broker`."""

    @pytest.fixture
    def used_broker(self) -> Broker:
        """To be given by the subclass: a broker that has published "before" to "news" already."""
        raise NotImplementedError("define the fixture used_broker: a broker that has connections")

    @pytest.fixture
    def used_watch(self, used_broker: Broker) -> Watch:
        watch = used_broker.watch()
        watch.add("news")
        wait_for_bell(watch, "news")
        return watch

    def test_a_forked_process_publishes_and_reads_at_the_same_time(
        self, used_broker: Broker, used_watch: Watch
    ) -> None:
        child = in_child(lambda: write_and_read_back(used_broker, "child"))
        try:
            write_and_read_back(used_broker, "parent")
        finally:
            well = succeeds(child)
        assert well
        seen = data_of(read_all(used_broker, "news"))
        for who in ("parent", "child"):
            assert [data for data in seen if data.startswith(who)] == [f"{who} {n}" for n in range(ROUNDS)]

    def test_the_watch_of_the_parent_goes_on_and_the_child_has_its_own(
        self, used_broker: Broker, used_watch: Watch
    ) -> None:
        def listen() -> None:
            mine = used_broker.watch()
            mine.add("bells")
            mine.wait(0)
            used_broker.append("listening", events("child"))
            wait_for_bell(mine, "bells")
            eventually(lambda: read_all(used_broker, "bells"), "what the parent has published")
            used_broker.append("news", events("child"))

        child = in_child(listen)
        eventually(lambda: read_all(used_broker, "listening"), "a child that listens")
        used_broker.append("bells", events("parent"))
        wait_for_bell(used_watch, "news")
        assert succeeds(child)
        used_broker.append("news", events("after"))
        wait_for_bell(used_watch, "news")

    def test_a_forked_process_that_closes_leaves_the_parents_connections_alone(
        self, used_broker: Broker, used_watch: Watch
    ) -> None:
        def use_and_close() -> None:
            used_broker.append("child", events("child"))
            used_broker.close()

        assert succeeds(in_child(use_and_close))
        assert succeeds(in_child(used_broker.close))
        used_broker.append("news", events("after"))
        wait_for_bell(used_watch, "news")

    def test_a_process_that_is_forked_while_threads_publish_is_not_held_up(self, used_broker: Broker) -> None:
        used_broker.watch().add("news")
        with threads_that_publish(used_broker):
            children = [
                in_child(lambda who=f"child {n}": write_and_read_back(used_broker, who))  # type: ignore[misc]
                for n in range(3)
            ]
            assert [succeeds(child) for child in children] == [True] * 3
