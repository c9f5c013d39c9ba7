"""The watch: what wakes it, and what it never forgets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from streamy_core import BrokerUnavailable
from streamy_core.broker import Broker, Watch
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read_all, wait_for_bell

from ..conftest import NewBroker, NewManager
from .publish import run_script
from .servers import Server

pytestmark = pytest.mark.slow

SLOWLY: Final = {"poll_floor": 60.0, "poll_ceiling": 60.0}
"""So that what comes within the deadline was not found by polling."""

QUICKLY: Final = {"poll_floor": 0.02, "poll_ceiling": 0.05}

BY_BELL: Final = ("sqlite", "postgresql")
"""Where the database tells of what other processes commit."""

HOWEVER_IT_HEARS: Final = [
    *[pytest.param((kind, SLOWLY), id=f"{kind} by its bell") for kind in BY_BELL],
    pytest.param(("postgresql", {**QUICKLY, "notify": False}), id="postgresql by polling"),
    pytest.param(("mariadb", QUICKLY), id="mariadb by polling"),
]

UrlOf = Callable[[str], str]


def watching(broker: Broker, *names: str) -> Watch:
    """A watch of these streams that has looked once."""
    watch = broker.watch()
    for name in names:
        watch.add(name)
    assert not watch.wait(0)
    return watch


def named_while_waiting(watch: Watch, change: Callable[[], object]) -> Collection[str]:
    """What the watch names that waits, for as long as it takes, while something is changed."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.wait, None)
        change()
        return waiting.result(DEADLINE)


def listeners(server: Server, application: str) -> list[int]:
    """The server's processes for the connections of this name that have begun to listen."""
    rows = server.execute(
        f"SELECT pid FROM pg_stat_activity WHERE application_name = '{application}' AND query LIKE 'LISTEN%'"
    )
    return [pid for (pid,) in rows]


@pytest.fixture
def postgresql(shared: Callable[[str], Server]) -> Server:
    return shared("postgresql")


@pytest.fixture(params=HOWEVER_IT_HEARS)
def hearing(request: pytest.FixtureRequest, url_of: UrlOf) -> tuple[str, dict[str, Any]]:
    """The URL of a database, and the options of a broker that hears of its streams in one of the ways."""
    kind, options = request.param
    return url_of(kind), options


@pytest.fixture
def broker(hearing: tuple[str, dict[str, Any]], new_broker: NewBroker) -> Broker:
    url, options = hearing
    return new_broker(url, **options)


@pytest.fixture
def other(hearing: tuple[str, dict[str, Any]], new_broker: NewBroker) -> Broker:
    """Of the same streams, as another process would have it."""
    return new_broker(hearing[0])


def test_what_another_process_publishes_is_named(
    broker: Broker, hearing: tuple[str, dict[str, Any]], prefix: str
) -> None:
    watch = watching(broker, "news")
    run_script(f"{hearing[0]}?table_prefix={prefix}", "news", 1)
    wait_for_bell(watch, "news")
    assert data_of(read_all(broker, "news")) == ["script 0"]


def test_an_event_that_finds_the_watch_waiting_wakes_it(broker: Broker, other: Broker) -> None:
    watch = watching(broker, "news")
    assert named_while_waiting(watch, lambda: other.append("news", events("a"))) == {"news"}


def test_an_end_that_is_the_only_change_is_named(broker: Broker, other: Broker) -> None:
    broker.append("news", events("a"))
    watch = broker.watch()
    watch.add("news")
    assert watch.wait(0) == {"news"}
    other.end("news")
    wait_for_bell(watch, "news")


def test_a_stream_that_appears_later_is_named(broker: Broker, other: Broker) -> None:
    watch = watching(broker, "news", "later")
    other.append("news", events("a"))
    wait_for_bell(watch, "news")
    other.append("later", events("b"))
    wait_for_bell(watch, "later")


def test_a_stream_that_was_discarded_and_added_again_is_named(broker: Broker, other: Broker) -> None:
    other.append("news", events("a"))
    watch = broker.watch()
    watch.add("news")
    wait_for_bell(watch, "news")
    watch.discard("news")
    other.append("news", events("b"))
    watch.add("news")
    other.append("news", events("c"))
    wait_for_bell(watch, "news")


def test_a_discarded_stream_is_not_named(broker: Broker, other: Broker) -> None:
    watch = watching(broker, "gone", "news")
    watch.discard("gone")
    other.append("gone", events("a"))
    other.append("news", events("a"))
    assert watch.wait(DEADLINE) == {"news"}


def test_a_publish_in_the_same_process_wakes_the_watch_however_slow_polling_is(
    url: str, new_broker: NewBroker
) -> None:
    broker = new_broker(url, **SLOWLY, **({"notify": False} if url.startswith("postgresql") else {}))
    watch = watching(broker, "news")
    assert named_while_waiting(watch, lambda: broker.append("news", events("a"))) == {"news"}


def test_the_end_of_a_stream_in_the_same_process_wakes_the_watch(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(url, **SLOWLY, **({"notify": False} if url.startswith("postgresql") else {}))
    watch = watching(broker, "news")
    broker.end("news")
    wait_for_bell(watch, "news")


def test_a_history_that_was_thrown_away_is_named(
    url: str, new_broker: NewBroker, empty_tables: Callable[[str], None]
) -> None:
    broker = new_broker(url, **QUICKLY)
    broker.append("news", events("a"))
    broker.append("other", events("a"))
    watch = broker.watch()
    for name in ("news", "other", "nobody"):
        watch.add(name)
    wait_for_bell(watch, "news", "other")
    empty_tables(url)
    wait_for_bell(watch, "news", "other")


def test_a_new_history_as_long_as_the_lost_one_is_named(
    url: str, new_broker: NewBroker, empty_tables: Callable[[str], None]
) -> None:
    broker = new_broker(url, **QUICKLY)
    broker.append("news", events("a"))
    watch = broker.watch()
    watch.add("news")
    wait_for_bell(watch, "news")
    empty_tables(url)
    new_broker(url).append("news", events("another"))
    wait_for_bell(watch, "news")


@pytest.fixture
def empty_tables(
    shared: Callable[[str], Server], new_broker: NewBroker, prefix: str
) -> Callable[[str], None]:
    """Empties all tables of the database at this URL."""

    def empty(url: str) -> None:
        database = new_broker(url)._database  # type: ignore[attr-defined]
        for table in ("streams", "entries", "keys", "meta"):
            with database.autocommit("empty the tables") as db:
                db.execute(f"DELETE FROM {prefix}{table}")

    return empty


def test_a_listening_connection_that_is_cut_is_told_to_who_waits(
    postgresql: Server, new_broker: NewBroker, prefix: str
) -> None:
    watch = watching(new_broker(f"{postgresql.url}?application_name={prefix}", **SLOWLY), "news")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(watch.wait, None)
        cut(postgresql, prefix)
        with pytest.raises(BrokerUnavailable, match="listens"):
            waiting.result(DEADLINE)


def cut(server: Server, application: str) -> None:
    (pid,) = listeners(server, application)
    server.execute(f"SELECT pg_terminate_backend({pid})")


def test_a_reader_misses_nothing_when_the_listening_connection_is_cut(
    postgresql: Server, new_manager: NewManager, new_broker: NewBroker, prefix: str
) -> None:
    sse = new_manager(f"{postgresql.url}?application_name={prefix}", **SLOWLY)
    other = new_broker(postgresql.url)
    expected: list[str] = []
    with sse.subscribe("news") as subscription:
        eventually(lambda: listeners(postgresql, prefix), "a connection that listens")
        for cuts in range(3):
            cut(postgresql, prefix)
            for n in range(5):
                other.append("news", events(f"{cuts} {n}"))
                expected.append(f"{cuts} {n}")
            eventually(lambda: len(listeners(postgresql, prefix)) == 1, "a connection that listens again")
        assert [next(subscription).event.data for _ in expected] == expected
        assert sse.health.failures >= 3


def test_nothing_is_forgotten_in_a_storm_of_several_publishers(
    broker: Broker, hearing: tuple[str, dict[str, Any]], new_broker: NewBroker, prefix: str
) -> None:
    """Every stream is added and discarded all the while; each round's own event has to be named."""
    url, _ = hearing
    brokers = [new_broker(url) for _ in range(3)]
    watch = broker.watch()
    heard: set[str] = set()
    done = threading.Event()

    def listen() -> None:
        while not done.is_set():
            heard.update(watch.wait(0.1))

    def publish(who: int) -> None:
        name = f"stream-{who}"
        for n in range(12):
            watch.discard(name)
            watch.add(name)
            if n % 2:
                eventually(lambda: name in heard, f"the first look at {name}")
            heard.discard(name)
            brokers[who % len(brokers)].append(name, events(str(n)))
            eventually(lambda: name in heard, f"round {n} of {name}")

    script_url = f"{url}?table_prefix={prefix}"
    watch.add("scripts")
    with ThreadPoolExecutor(9) as pool:
        listening = pool.submit(listen)
        try:
            scripts = [pool.submit(run_script, script_url, "scripts", 100) for _ in range(2)]
            for publisher in [*[pool.submit(publish, who) for who in range(6)], *scripts]:
                publisher.result()
            eventually(lambda: "scripts" in heard, "what the scripts have published")
        finally:
            done.set()
        listening.result(DEADLINE)
    assert len(read_all(broker, "scripts")) == 200
