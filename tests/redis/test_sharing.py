"""Connections: shared with the app, among threads, greenlets and forked processes, and given back."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from streamy_backends.redis import from_url
from streamy_backends.redis.broker import RedisBroker
from streamy_core.broker import Broker, ListsStreams
from streamy_core.testing import BrokerContract, MakeBroker
from streamy_core.testing.reading import (
    DEADLINE,
    data_of,
    events,
    eventually,
    read,
    read_all,
    tail,
    wait_for_bell,
)

from .conftest import KINDS, NewBroker
from .servers import Cluster, Server

_PACKAGE: Final = __name__.rpartition(".")[0]
_ROOT: Final = Path(__file__).parents[_PACKAGE.count(".") + 1]

MakeClient = Callable[..., Any]

CLIENTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "as it is": ("valkey", {}),
    "decoding": ("valkey", {"decode_responses": True}),
    "RESP2": ("valkey", {"protocol": 2}),
    "RESP3": ("valkey", {"protocol": 3}),
    "RESP3 decoding": ("redis", {"protocol": 3, "decode_responses": True}),
    "of a cluster": ("cluster", {}),
    "of a cluster, decoding": ("cluster", {"decode_responses": True, "protocol": 3}),
    "of an old cluster": ("old cluster", {}),
}


@pytest.fixture
def make_client(shared: Callable[[str], Any]) -> Iterator[MakeClient]:
    """Makes a client as an app has it: of a server or a cluster, with these settings."""
    made = []

    def make(kind: str, **settings: Any) -> Any:
        server = shared(kind)
        if isinstance(server, Cluster):
            made.append(redis.RedisCluster("127.0.0.1", server.nodes[0].port, **settings))
        else:
            made.append(redis.Redis("127.0.0.1", server.port, **settings))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, make_client: MakeClient) -> Any:
    kind, settings = CLIENTS[request.param]
    return make_client(kind, **settings)


class TestSharedClient(BrokerContract):
    """Over a client that the app has, too."""

    @pytest.fixture
    def make_broker(self, client: Any, prefix: str) -> MakeBroker:
        return lambda log="log", *, history=10_000: from_url(
            "redis://", {"client": client, "prefix": f"{prefix}-{log}", "history": history}
        )


# -- somebody else's client


def test_a_shared_client_goes_on_when_the_broker_is_closed(
    client: Any, new_broker: NewBroker, prefix: str
) -> None:
    broker = new_broker("redis://", client=client)
    broker.watch().add("news")
    broker.append("news", events("a"))
    broker.close()
    assert client.set(f"{prefix}:mine", "1", px=60_000)
    assert client.get(f"{prefix}:mine") in ("1", b"1")


def test_a_shared_clients_connections_are_given_back(make_client: MakeClient, new_broker: NewBroker) -> None:
    client = make_client("valkey", max_connections=2)
    broker = new_broker("redis://", client=client)
    watch = broker.watch()
    for n in range(20):
        name = f"news-{n}"
        watch.add(name)
        broker.tail([name])
        broker.append(name, events("a"))
        assert data_of(read_all(broker, name)) == ["a"]
        broker.end(name)
        assert isinstance(broker, ListsStreams)
        assert len(list(broker.streams())) == n + 1
        assert client.ping()
    wait_for_bell(watch, "news-0", "news-19")


def test_a_shared_clients_connections_are_given_back_after_a_fault(
    make_client: MakeClient, new_broker: NewBroker, prefix: str
) -> None:
    client = make_client("valkey", max_connections=1)
    broker = new_broker("redis://", client=client)
    client.set(f"{prefix}:{{news}}:state", "no state of ours", px=60_000)
    for _ in range(5):
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the server says of it
            broker.append("news", events("a"))
    assert len(broker.append("other", events("a"))) == 1
    assert client.ping()


def test_threads_wait_for_a_shared_clients_connections(
    make_client: MakeClient, new_broker: NewBroker
) -> None:
    client = make_client("valkey", max_connections=2)
    broker = new_broker("redis://", client=client, max_connections=2)
    publish_at_once(lambda who, n: broker.append(f"news-{who}", events(str(n))))
    assert [data_of(read_all(broker, f"news-{who}")) for who in range(THREADS)] == [
        [str(n) for n in range(EACH)]
    ] * THREADS


# -- threads

THREADS: Final = 16
EACH: Final = 25
MOST: Final = 3


def publish_at_once(publish: Callable[[int, int], object]) -> None:
    """Call `publish(who, n)` in so many threads, so many times in each, all beginning together."""
    begin = threading.Barrier(THREADS)

    def run(who: int) -> None:
        begin.wait(DEADLINE)
        for n in range(EACH):
            publish(who, n)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(run, who) for who in range(THREADS)]:
            done.result()


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, shared: Callable[[str], Any]) -> Server:
    found: Server = shared(request.param)
    return found


def connections(server: Server, name: str) -> list[dict[str, str]]:
    """What the server knows of the connections that have this name."""
    return [line for line in server.client.client_list() if line["name"] == name]


def test_threads_share_few_connections(server: Server, new_broker: NewBroker, prefix: str) -> None:
    broker = new_broker(server.url, max_connections=MOST, client_name=prefix)
    broker.append("news", events("0 begins"))
    broker.watch().add("news")
    publish_at_once(lambda who, n: broker.append("news", events(f"{who} {n}")))
    seen = data_of(read_all(broker, "news"))[1:]
    assert Counter(seen) == Counter(f"{who} {n}" for who in range(THREADS) for n in range(EACH))
    assert len(connections(server, prefix)) <= MOST + 1


def test_threads_share_few_connections_when_they_begin_streams_too(
    server: Server, new_broker: NewBroker, prefix: str
) -> None:
    broker = new_broker(server.url, max_connections=MOST, client_name=prefix)
    publish_at_once(lambda who, n: broker.append(f"news {who} {n}", events("a")))
    assert len(connections(server, prefix)) <= MOST


def test_threads_share_few_connections_when_they_ask_for_what_is_not_there(
    server: Server, new_broker: NewBroker, prefix: str
) -> None:
    broker = new_broker(server.url, max_connections=MOST, client_name=prefix)
    publish_at_once(lambda who, n: (broker.tail(["nobody"]), read(broker, "nobody")))
    assert len(connections(server, prefix)) <= MOST


def test_many_watched_streams_take_one_connection(server: Server, new_broker: NewBroker, prefix: str) -> None:
    broker = new_broker(server.url, client_name=prefix)
    watch = broker.watch()
    for n in range(200):
        watch.add(f"news-{n}")
    eventually(lambda: listening(server, prefix) == [200], "200 streams watched by one connection")


def listening(server: Server, name: str) -> list[int]:
    """To how many channels each connection of this name listens that listens to any."""
    found = [int(line["sub"]) + int(line.get("ssub", 0)) for line in connections(server, name)]
    return [count for count in found if count]


# -- forks


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


# -- greenlets


@pytest.mark.parametrize("kind", ["valkey", "cluster"])
def test_greenlets_publish_and_read_in_one_thread(
    shared: Callable[[str], Any], prefix: str, kind: str
) -> None:
    url = f"{shared(kind).url}?prefix={prefix}"
    command = [sys.executable, "-m", "gevent.monkey", "--module", f"{_PACKAGE}.greenlets", url]
    result = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=3 * DEADLINE)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert Counter(found["seen"]) == Counter(f"{who} {n}" for who in range(50) for n in range(10))
    for who in range(50):
        mine = [data for data in found["seen"] if data.startswith(f"{who} ")]
        assert mine == [f"{who} {n}" for n in range(10)]
    assert found["ticks"] > 5, "publishing held up the other greenlets"


# -- closing


def descriptors() -> int:
    """How many are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def count_before() -> Callable[[], int]:
    """How many are open, but for those that other tests have left to the garbage collector."""

    def count() -> int:
        gc.collect()
        return descriptors()

    return count


def primaries(server: Any) -> list[Server]:
    """Those that hold keys."""
    return getattr(server, "nodes", None) or [getattr(server, "primary", server)]


@pytest.mark.parametrize("kind", ["redis", "valkey", "sentinel", "cluster", "old cluster"])
def test_a_closed_broker_leaves_nothing_open(
    shared: Callable[[str], Any],
    new_broker: NewBroker,
    prefix: str,
    kind: str,
    count_before: Callable[[], int],
) -> None:
    server = shared(kind)
    before = count_before()
    broker = new_broker(server.url, client_name=prefix)
    publish_at_once(lambda who, n: broker.append(f"news-{who}", events("a")))
    for _ in range(2):
        broker.watch().add("news")
    assert descriptors() > before + 4
    broker.close()
    assert descriptors() <= before
    eventually(lambda: not any(connections(one, prefix) for one in primaries(server)), "its connections gone")


@pytest.mark.parametrize("kind", ["redis", "valkey", "cluster"])
def test_a_watch_that_is_closed_while_it_is_waited_on_leaves_nothing_open(
    shared: Callable[[str], Any],
    new_broker: NewBroker,
    prefix: str,
    kind: str,
    count_before: Callable[[], int],
) -> None:
    server = shared(kind)
    broker = new_broker(server.url, client_name=prefix)
    broker.append("news", events("a"))
    before = count_before()
    watches = [broker.watch() for _ in range(20)]
    with ThreadPoolExecutor(len(watches)) as pool:
        waiting = [pool.submit(watch.wait, None) for watch in watches]
        for watch in watches:
            watch.close()
        for one in waiting:
            one.exception(DEADLINE)
    assert descriptors() <= before


def test_a_broker_that_was_refused_leaves_nothing_open(
    shared: Callable[[str], Any], prefix: str, count_before: Callable[[], int]
) -> None:
    server = shared("old cluster").nodes[0]
    before = count_before()
    with pytest.raises(Exception, match="is a node of a cluster"):
        from_url(server.url, {"client_name": prefix})
    assert descriptors() <= before
    eventually(lambda: not connections(server, prefix), "its connections gone")


def test_a_closed_watch_leaves_nothing_open(
    server: Server, new_broker: NewBroker, prefix: str, count_before: Callable[[], int]
) -> None:
    broker = new_broker(server.url, client_name=prefix)
    broker.append("news", events("a"))
    before, known = count_before(), len(connections(server, prefix))
    for _ in range(3):
        watch = broker.watch()
        watch.add("news")
        watch.close()
    assert descriptors() <= before
    eventually(lambda: len(connections(server, prefix)) == known, "the watches' connections gone")


def test_a_broker_that_shares_a_client_closes_only_its_watches(
    make_client: MakeClient,
    new_broker: NewBroker,
    shared: Callable[[str], Any],
    prefix: str,
    count_before: Callable[[], int],
) -> None:
    server = shared("valkey")
    client = make_client("valkey", client_name=prefix)
    client.ping()
    before = count_before()
    broker = new_broker("redis://", client=client)
    broker.append("news", events("a"))
    broker.watch().add("news")
    eventually(lambda: len(listening(server, prefix)) == 1, "a bell's connection")
    broker.close()
    eventually(lambda: not listening(server, prefix), "the bell's connection gone")
    assert len(connections(server, prefix)) >= 1
    assert descriptors() <= before + 1
