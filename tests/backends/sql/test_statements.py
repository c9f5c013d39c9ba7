"""How often the database is asked, counted by the servers themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import event

from streamy_core import StreamManager
from streamy_core.broker import Broker, Watch
from streamy_core.testing.reading import events, eventually, wait_for_bell

from ..conftest import NewBroker, NewManager
from .conftest import NewEngine, server_in
from .servers import Server

RARELY: Final = {"poll_floor": 60.0, "poll_ceiling": 60.0, "tidy_every": 3_600.0}
"""So that nothing is asked but what the test causes."""

LOGGING: Final = {
    "postgresql": ("-c", "log_statement=all"),
    "mariadb": ("--general-log=1", "--log-output=TABLE"),
}
MANY: Final = 1_000

_NOT_COUNTED: Final = r"general_log|^SET (NAMES|AUTOCOMMIT)\b"
"""The counting itself, and how a connection of PyMySQL begins."""


class Counted:
    """A server that notes the statements of all but this one's own connections."""

    def __init__(self, kind: str, server: Server) -> None:
        self.kind = kind
        self.url = server.url
        self._server = server

    def statements(self) -> list[str]:
        """Every statement so far that anybody but this has sent."""
        if self.kind == "postgresql":
            log = (self._server.folder / "server.log").read_text()
            found = re.findall(r"LOG:  (?:statement|execute [^:]*): ((?:.|\n\t)*)", log)
        else:
            rows = self._server.execute(
                "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type IN "
                "('Query', 'Execute') ORDER BY event_time"
            )
            found = [text for (text,) in rows]
        return [text for text in found if not re.search(_NOT_COUNTED, text)]

    def during(self, action: Callable[[], object]) -> list[str]:
        """The statements that this brings about."""
        before = len(self.statements())
        action()
        return self.statements()[before:]


@pytest.fixture(scope="module")
def counted_servers() -> Iterator[dict[str, Counted]]:
    """What has been started so far, by kind."""
    with ExitStack() as to_stop:
        started: dict[str, Any] = {"to_stop": to_stop}
        yield started


@pytest.fixture(params=LOGGING)
def counted(
    request: pytest.FixtureRequest,
    counted_servers: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Counted:
    kind = request.param
    if kind not in counted_servers:
        server = server_in(kind, tmp_path_factory.mktemp(kind), *LOGGING[kind]).start()
        counted_servers["to_stop"].callback(server.stop)
        counted_servers[kind] = Counted(kind, server)
    found: Counted = counted_servers[kind]
    return found


@pytest.fixture
def broker(counted: Counted, new_broker: NewBroker) -> Broker:
    return new_broker(counted.url, **RARELY)


def looked(broker: Broker, *names: str) -> Watch:
    """A watch of these streams that has looked at all of them once."""
    watch = broker.watch()
    for name in names:
        watch.add(name)
    while watch.wait(0):
        pass
    return watch


def test_a_watch_of_nothing_asks_nothing(counted: Counted, new_broker: NewBroker) -> None:
    watch = new_broker(counted.url, poll_floor=0.01, poll_ceiling=0.01, tidy_every=3_600.0).watch()
    assert counted.during(lambda: watch.wait(0.3)) == []


def test_a_watch_whose_last_stream_was_discarded_asks_nothing(
    counted: Counted, new_broker: NewBroker
) -> None:
    broker = new_broker(counted.url, poll_floor=0.01, poll_ceiling=0.01, tidy_every=3_600.0)
    watch = looked(broker, "news")
    watch.discard("news")
    assert counted.during(lambda: watch.wait(0.3)) == []


def test_a_process_that_only_publishes_sends_one_statement_for_an_event(
    counted: Counted, broker: Broker
) -> None:
    broker.append("news", events("before"))
    assert len(counted.during(lambda: broker.append("news", events("a")))) == 1


def test_a_batch_is_one_statement(counted: Counted, broker: Broker) -> None:
    broker.append("news", events("before"))
    assert len(counted.during(lambda: broker.append("news", events(*map(str, range(100)))))) == 1


def test_an_event_with_a_key_is_one_statement(counted: Counted, broker: Broker) -> None:
    broker.append("news", events("before"), idempotency_key="before")
    sent = counted.during(lambda: broker.append("news", events("a"), idempotency_key="a"))
    assert len(sent) == 1


@pytest.mark.parametrize("count", [1, MANY])
def test_a_look_is_one_statement_however_many_streams_are_watched(
    counted: Counted, broker: Broker, new_broker: NewBroker, count: int
) -> None:
    names = [f"news-{n}" for n in range(count)]
    watch = looked(broker, *names)

    def look() -> None:
        watch.look_soon()  # type: ignore[attr-defined]
        watch.wait(0.2)

    assert len(counted.during(look)) == 1


@pytest.mark.parametrize("count", [1, MANY])
def test_many_streams_are_read_by_one_statement(counted: Counted, broker: Broker, count: int) -> None:
    cursors = broker.tail([f"news-{n}" for n in range(count)])
    broker.append("news-0", events("a", "b"))
    assert len(counted.during(lambda: broker.read(cursors, 10))) == 1


def test_many_streams_are_read_from_their_oldest_entries_by_two_statements(
    counted: Counted, broker: Broker
) -> None:
    for n in range(20):
        broker.append(f"news-{n}", events("a"))
    cursors = {f"news-{n}": "" for n in range(100)}
    assert len(counted.during(lambda: broker.read(cursors, 10))) == 2


@pytest.mark.parametrize("count", [1, 100])
def test_the_tails_of_many_streams_are_found_by_one_statement(
    counted: Counted, broker: Broker, count: int
) -> None:
    broker.append("news-0", events("a"))
    assert len(counted.during(lambda: broker.tail([f"news-{n}" for n in range(count)]))) == 1


def test_on_a_file_the_tails_of_many_streams_are_found_by_one_statement_too(
    new_engine: NewEngine, new_broker: NewBroker, tmp_path: Path
) -> None:
    engine = new_engine(f"sqlite:///{tmp_path}/streams.db")
    statements: list[str] = []
    event.listen(engine, "connect", lambda found, _: found.set_trace_callback(statements.append))
    broker = new_broker("sql:", engine=engine, **RARELY)
    names = [f"news-{n}" for n in range(100)]
    for name in names[::2]:
        broker.append(name, events("a"))
    statements.clear()
    broker.tail(names)
    assert len([text for text in statements if "SELECT" in text]) == 1


def test_no_tails_and_no_pages_are_no_statements(counted: Counted, broker: Broker) -> None:
    assert counted.during(lambda: (broker.tail([]), broker.read({}, 10))) == []


@pytest.mark.parametrize("streams", [1, 10])
def test_a_bound_of_bytes_takes_no_further_statement_where_entries_are_alike(
    counted: Counted, broker: Broker, streams: int
) -> None:
    cursors = broker.tail([f"news-{n}" for n in range(streams)])
    for name in cursors:
        broker.append(name, events(*["x" * 1_000] * 40))
    sent = counted.during(lambda: broker.read(cursors, 100, 5_000 * streams))
    assert len(sent) == 1


@pytest.mark.parametrize("streams", [1, 10])
def test_a_bound_of_bytes_takes_one_more_statement_at_most_whatever_the_sizes(
    counted: Counted, broker: Broker, streams: int
) -> None:
    cursors = broker.tail([f"news-{n}" for n in range(streams)])
    for number, name in enumerate(cursors):
        broker.append(name, events(*["x" * 20, "y" * 3_000, "z" * 20] * (2 + number)))
    sent = counted.during(lambda: broker.read(cursors, 100, 5_000 * streams))
    assert len(sent) == 2


def test_a_bell_brings_about_one_look(counted: Counted, broker: Broker, new_broker: NewBroker) -> None:
    watch = looked(broker, "news")

    def publish_and_hear() -> None:
        broker.append("news", events("a"))
        wait_for_bell(watch, "news")

    sent = counted.during(publish_and_hear)
    assert len(sent) <= 2 + (counted.kind == "postgresql"), "an append, a look, and one for NOTIFY's own"


@pytest.mark.parametrize("clients", [1, 200])
def test_an_event_takes_as_many_statements_however_many_clients_there_are(
    counted: Counted, new_manager: NewManager, clients: int
) -> None:
    sse = new_manager(counted.url, **RARELY)
    sse.send_event("news", "before")
    with ExitStack() as to_close:
        subscriptions = [to_close.enter_context(sse.subscribe("news")) for _ in range(clients)]
        send(sse, subscriptions, "first")
        settle(counted)
        sent = counted.during(lambda: [send(sse, subscriptions, str(n)) for n in range(10)])
        sent = [text for text in sent if "read_only" not in text]  # asked every other second
        assert len([text for text in sent if "INSERT" in text]) == 10
        # An append, a look and a read each; and another look where a bell rings for the same event.
        assert len(sent) <= 10 * (3 + 2 * (counted.kind == "postgresql"))


def send(sse: StreamManager, subscriptions: list[Any], data: str) -> None:
    """Publish this, and wait until everybody has it."""
    sse.send_event("news", data)
    assert {next(subscription).event.data for subscription in subscriptions} == {data}


def settle(counted: Counted) -> None:
    """Wait until nothing is asked any more."""
    seen = [-1] * 10

    def is_quiet() -> bool:
        seen.append(len(counted.statements()))
        return len(set(seen[-10:])) == 1

    eventually(is_quiet, "quiet")
