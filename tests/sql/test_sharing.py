"""Connections: shared among threads, greenlets and forked processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_backends.sql.broker import SqlBroker
from streamy_core.broker import Broker, Watch
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read_all, wait_for_bell

from ..support import ROOT
from .conftest import NewBroker, NewManager
from .servers import Server

_PACKAGE: Final = __name__.rpartition(".")[0]

THREADS: Final = 16
EACH: Final = 25
MOST: Final = 3

forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

CONNECTIONS: Final = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = '{name}'",
}


def at_once(work: Callable[[int], object]) -> None:
    """Call `work(who)` in so many threads, all beginning together."""
    begin = threading.Barrier(THREADS)

    def run(who: int) -> None:
        begin.wait(DEADLINE)
        work(who)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(run, who) for who in range(THREADS)]:
            done.result()


class Counting:
    """A server, and how to count the connections of one broker's alone."""

    def __init__(self, kind: str, server: Server, name: str) -> None:
        self._server = server
        self._sql = CONNECTIONS[kind].format(name=name)
        self.url = (
            f"{server.url}?application_name={name}" if kind == "postgresql" else server.new_database(name)
        )

    def connections(self) -> set[int]:
        """The numbers that the server gives to those that are open."""
        return {number for (number,) in self._server.execute(self._sql)}


@pytest.fixture(params=CONNECTIONS)
def counting(request: pytest.FixtureRequest, shared: Callable[[str], Server], prefix: str) -> Counting:
    return Counting(request.param, shared(request.param), prefix)


def test_threads_publish_and_read_through_one_broker(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(url)

    def work(who: int) -> None:
        for n in range(EACH):
            broker.append("news", events(f"{who} {n}"))
            broker.append(f"own {who}", events(str(n)))
            assert data_of(read_all(broker, f"own {who}")) == [str(m) for m in range(n + 1)]

    at_once(work)
    seen = data_of(read_all(broker, "news"))
    assert Counter(seen) == Counter(f"{who} {n}" for who in range(THREADS) for n in range(EACH))
    for who in range(THREADS):
        assert [text for text in seen if text.startswith(f"{who} ")] == [f"{who} {n}" for n in range(EACH)]


def test_threads_share_few_connections(counting: Counting, new_broker: NewBroker) -> None:
    broker = new_broker(counting.url, max_connections=MOST)
    broker.watch().add("news")
    most: list[int] = []

    def work(who: int) -> None:
        for n in range(EACH):
            broker.append("news", events(f"{who} {n}"))
            if who == 0:
                most.append(len(counting.connections()))

    at_once(work)
    assert len(read_all(broker, "news")) == THREADS * EACH
    assert max(most) <= MOST + 1


def test_many_watched_streams_take_no_more_connections(counting: Counting, new_broker: NewBroker) -> None:
    broker = new_broker(counting.url)
    watch = broker.watch()
    watch.add("news")
    watch.wait(0)
    before = len(counting.connections())
    for n in range(200):
        watch.add(f"news-{n}")
    watch.wait(0)
    assert len(counting.connections()) <= before


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


@pytest.fixture
def used_broker(url: str, new_broker: NewBroker) -> Broker:
    """A broker that has connections already, and a watch that has looked."""
    broker = new_broker(url)
    broker.append("news", events("before"))
    return broker


@pytest.fixture
def used_watch(used_broker: Broker) -> Watch:
    watch = used_broker.watch()
    watch.add("news")
    wait_for_bell(watch, "news")
    return watch


def write_and_read_back(broker: Broker, who: str) -> None:
    """Fail unless every answer is the one to what was asked."""
    ids = []
    for n in range(30):
        ids += broker.append(who, events(f"{who} {n}"))
        broker.append("news", events(f"{who} {n}"))
        assert broker.tail([who]) == {who: ids[-1]}
    found = read_all(broker, who)
    assert [entry.id for entry in found] == ids
    assert data_of(found) == [f"{who} {n}" for n in range(30)]


@forks
def test_a_forked_process_publishes_and_reads_at_the_same_time(
    used_broker: Broker, used_watch: Watch
) -> None:
    child = in_child(lambda: write_and_read_back(used_broker, "child"))
    try:
        write_and_read_back(used_broker, "parent")
    finally:
        well = succeeds(child)
    assert well
    seen = data_of(read_all(used_broker, "news"))
    for who in ("parent", "child"):
        assert [text for text in seen if text.startswith(who)] == [f"{who} {n}" for n in range(30)]


@forks
def test_the_watch_of_the_parent_goes_on_and_the_child_has_its_own(
    used_broker: Broker, used_watch: Watch
) -> None:
    def listen() -> None:
        mine = used_broker.watch()
        mine.add("bells")
        mine.wait(0)
        used_broker.append("listening", events("child"))
        wait_for_bell(mine, "bells")
        used_broker.append("news", events("child"))

    child = in_child(listen)
    eventually(lambda: read_all(used_broker, "listening"), "a child that listens")
    used_broker.append("bells", events("parent"))
    wait_for_bell(used_watch, "news")
    assert succeeds(child)
    used_broker.append("news", events("after"))
    wait_for_bell(used_watch, "news")


@forks
def test_a_forked_process_that_closes_leaves_the_parents_connections_alone(
    used_broker: Broker, used_watch: Watch
) -> None:
    def use_and_close() -> None:
        used_broker.append("child", events("child"))
        used_broker.close()

    assert succeeds(in_child(use_and_close))
    assert succeeds(in_child(used_broker.close))
    used_broker.append("news", events("after"))
    wait_for_bell(used_watch, "news")


@forks
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


@forks
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


@forks
def test_a_process_that_is_forked_while_threads_publish_is_not_held_up(
    url: str, new_broker: NewBroker
) -> None:
    used_broker = new_broker(url)
    used_broker.watch().add("news")
    stop = threading.Event()
    connected: list[int] = []

    def publish() -> None:
        used_broker.append("busy", events("parent"))
        connected.append(1)
        while not stop.is_set():
            used_broker.append("busy", events("parent"))

    with ThreadPoolExecutor(4) as pool:
        publishers = [pool.submit(publish) for _ in range(4)]
        try:
            # The locks of OpenSSL, held by a thread that connects, are no broker's to free in a child.
            eventually(lambda: len(connected) == 4, "all threads connected")
            children = [
                in_child(lambda who=f"child {n}": write_and_read_back(used_broker, who))  # type: ignore[misc]
                for n in range(3)
            ]
            assert [succeeds(child) for child in children] == [True] * 3
        finally:
            stop.set()
        for publisher in publishers:
            publisher.result()


@forks
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_process_that_is_forked_in_a_transaction_publishes_after_it(
    kind: str, url_of: Callable[[str], str], new_broker: NewBroker
) -> None:
    broker = new_broker(url_of(kind), timeout=2.0)
    assert isinstance(broker, SqlBroker)
    broker.append("news", events("before"))
    with broker._database.transaction("test") as db:
        db.execute(f"UPDATE {broker._tables.streams.name} SET head = head")
        child = in_child(lambda: broker.append("news", events("child")))
    assert succeeds(child)


@forks
def test_a_child_may_make_the_tables_first_of_all(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(url)
    assert isinstance(broker, SqlBroker)
    broker.append("news", events("parent"))
    assert succeeds(in_child(broker.create_tables))


@forks
def test_no_child_has_the_file_open_whichever_threads_fork(tmp_path: Path, new_broker: NewBroker) -> None:
    broker = new_broker(f"sqlite:///{tmp_path}/streams.db")
    stop = threading.Event()

    def has_none_open() -> None:
        links = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]  # noqa: PTH115
        assert not any("streams.db" in link for link in links), links

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


@forks
@pytest.mark.parametrize("use", [lambda broker: broker.append("child", events("a")), SqlBroker.close])
def test_a_lock_that_another_thread_held_at_the_fork_holds_nobody_up(
    used_broker: Broker, use: Callable[[Any], object]
) -> None:
    assert isinstance(used_broker, SqlBroker)
    turn = used_broker._database._turn or threading.Lock()
    with used_broker._lock, turn:
        child = in_child(lambda: use(used_broker))
    assert succeeds(child)


@forks
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


def monkey_patched(module: str, url: str) -> dict[str, Any]:
    """What this module has printed, in a process that gevent has patched."""
    command = [sys.executable, "-m", "gevent.monkey", "--module", module, url]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3 * DEADLINE)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_greenlets_publish_and_read_in_one_thread(url: str, prefix: str) -> None:
    found = monkey_patched("tests.redis.greenlets", f"{url}?table_prefix={prefix}")
    for who in range(50):
        mine = [text for text in found["seen"] if text.startswith(f"{who} ")]
        assert mine == [f"{who} {n}" for n in range(10)]
    assert len(found["seen"]) == 500
    # SQLite has no socket to wait for: a greenlet that writes gives nobody a turn by itself.
    assert url.startswith("sqlite") or found["ticks"] > 5, "publishing held up the other greenlets"


def test_other_greenlets_go_on_while_a_watch_waits(url: str, prefix: str) -> None:
    found = monkey_patched(f"{_PACKAGE}.greenlets", f"{url}?table_prefix={prefix}")
    assert found["silence"] == []
    assert found["ticks"] > 20, "the wait held up the other greenlets"
    assert found["woken"] == ["news"]
    assert Counter(found["log"]) == Counter(f"{who} {n}" for who in range(5) for n in range(20))
