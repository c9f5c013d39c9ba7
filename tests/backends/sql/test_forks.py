"""Forked processes: what is open in the parent is left alone, and the child has its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from streamy_backends.sql.broker import SqlBroker
from streamy_core.broker import Broker
from streamy_core.testing.reading import data_of, events, eventually, read_all, wait_for_bell

from ...support.forks import forks, in_child, succeeds
from ..conftest import NewBroker, NewManager
from ..promises.forks import ForkPromises
from .counting import Counting

pytestmark = forks


@pytest.fixture
def used_broker(url: str, new_broker: NewBroker) -> Broker:
    """A broker that has connections already."""
    broker = new_broker(url)
    broker.append("news", events("before"))
    return broker


class TestForks(ForkPromises):
    @pytest.fixture
    def used_broker(self, used_broker: Broker) -> Broker:
        return used_broker


def test_a_forked_process_has_connections_of_its_own(counting: Counting, new_broker: NewBroker) -> None:
    broker = new_broker(counting.url)
    watch = broker.watch()
    watch.add("news")
    broker.append("news", events("before"))
    wait_for_bell(watch, "news")
    parents = counting.connections()
    ready, go = os.pipe(), os.pipe()

    def use() -> None:
        broker.watch().add("news")
        broker.append("news", events("child"))
        os.write(ready[1], b".")
        os.read(go[0], 1)

    child = in_child(use)
    try:
        assert os.read(ready[0], 1) == b"."
        both = counting.connections()
        assert both > parents
        broker.append("news", events("parent"))
        assert counting.connections() == both, "the parent needs no new one"
    finally:
        os.write(go[1], b".")
        for end in (*ready, *go):
            os.close(end)
    assert succeeds(child)
    eventually(lambda: counting.connections() == parents, "the child's connections gone")
    assert data_of(read_all(broker, "news")) == ["before", "child", "parent"]


def test_what_a_child_publishes_after_its_parent_has_closed_is_stored(
    url: str, new_broker: NewBroker, request: pytest.FixtureRequest
) -> None:
    broker = new_broker(url)
    broker.append("news", events("before"))
    ready, go = os.pipe(), os.pipe()

    def publish() -> None:
        broker.append("news", events("child"))
        os.write(ready[1], b".")
        os.read(go[0], 1)
        broker.append("news", events("later"))

    child = in_child(publish)
    try:
        assert os.read(ready[0], 1) == b"."
        broker.close()
    finally:
        os.write(go[1], b".")
        for end in (*ready, *go):
            os.close(end)
    assert succeeds(child)
    assert data_of(read_all(new_broker(url), "news")) == ["before", "child", "later"]


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_process_that_is_forked_in_a_transaction_publishes_after_it(
    kind: str, url_of: Callable[[str], str], new_broker: NewBroker
) -> None:
    broker = new_broker(url_of(kind), timeout=2.0)
    assert isinstance(broker, SqlBroker)
    broker.append("news", events("before"))
    with broker._database.transaction("test", broker._database.dialect.begin) as db:
        db.execute(f"UPDATE {broker._tables.streams.name} SET head = head")
        child = in_child(lambda: broker.append("news", events("child")))
    assert succeeds(child)


def test_a_child_may_make_the_tables_first_of_all(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(url)
    assert isinstance(broker, SqlBroker)
    broker.append("news", events("parent"))
    assert succeeds(in_child(broker.create_tables))


@pytest.mark.slow
def test_no_child_has_the_file_open_whichever_threads_fork(tmp_path: Path, new_broker: NewBroker) -> None:
    broker = new_broker(f"sqlite:///{tmp_path}/streams.db")
    stop = threading.Event()

    def has_none_open() -> None:
        links = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]  # noqa: PTH115
        assert not any(link.startswith(f"{tmp_path}/") for link in links), links

    def publish() -> None:
        while not stop.is_set():
            broker.append("news", events("x"))

    def fork() -> list[bool]:
        return [succeeds(in_child(has_none_open)) for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        publishing = pool.submit(publish)
        try:
            forks = [pool.submit(fork) for _ in range(3)]
            assert [each.result() for each in forks] == [[True] * 10] * 3
        finally:
            stop.set()
        publishing.result()


@pytest.mark.parametrize("use", [lambda broker: broker.append("child", events("a")), SqlBroker.close])
def test_a_lock_that_another_thread_held_at_the_fork_holds_nobody_up(
    used_broker: Broker, use: Callable[[Any], object]
) -> None:
    assert isinstance(used_broker, SqlBroker)
    turn = used_broker._database._turn or threading.Lock()
    with used_broker._lock, turn:
        child = in_child(lambda: use(used_broker))
    assert succeeds(child)


def test_subscribers_of_a_parent_and_its_child_get_everything(url: str, new_manager: NewManager) -> None:
    sse = new_manager(url)
    with sse.subscribe("news") as mine:
        sse.send_event("news", "before")
        assert next(mine).event.data == "before"

        def follow_and_answer() -> None:
            with sse.subscribe("news") as theirs:
                sse.send_event("news", "child")
                assert [next(theirs).event.data for _ in range(2)] == ["child", "parent"]

        child = in_child(follow_and_answer)
        assert next(mine).event.data == "child"
        sse.send_event("news", "parent")
        assert next(mine).event.data == "parent"
        assert succeeds(child)
