"""Servers and publishers that are killed, stand still or come late: nothing is lost, and nothing doubled."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Final

import psycopg
import pymysql
import pytest
from sqlalchemy.exc import SQLAlchemyError

from streamy_backends.sql import from_url
from streamy_core import OLDEST, BrokerUnavailable, ConfigError, PublishFailed
from streamy_core.ids import sequence_of
from streamy_core.strategies import NoRetry
from streamy_core.testing.reading import DEADLINE, data_of, events, read_all

from ...support.process import stopped_in_the_end
from ...support.proxy import Proxy
from ..conftest import NewBroker, NewManager
from ..promises.outages import Outage, OutagePromises, kill_a_server
from .conftest import SERVERS, server_in
from .kills import Crash, kill_publishers
from .servers import Server

pytestmark = pytest.mark.slow

TIMEOUT: Final = 1.0
"""Of the brokers that are kept waiting, in seconds."""
SLACK: Final = 1.0
"""Seconds by which a busy machine may be late."""


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """Of this module alone, by kind, since they are ill-treated."""
    with stopped_in_the_end() as started:
        yield started


def running(kind: str, servers: dict[str, Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    if kind not in servers:
        servers[kind] = server_in(kind, tmp_path_factory.mktemp(f"own-{kind}")).start()
    try:
        servers[kind].connect().close()
    except (psycopg.OperationalError, pymysql.err.OperationalError):
        servers[kind].start()
    return servers[kind]


class TestOutages(OutagePromises):
    @pytest.fixture(scope="class", params=SERVERS)
    @classmethod
    def outage(
        cls,
        request: pytest.FixtureRequest,
        servers: dict[str, Server],
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Outage:
        server = running(request.param, servers, tmp_path_factory)
        return kill_a_server(server, tmp_path_factory.mktemp("outage"), cls.EVENTS)

    def test_a_kill_leaves_no_hole(self, outage: Outage) -> None:
        numbers = [sequence_of(entry_id) for entry_id, _ in outage.log]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Crash:
    return kill_publishers(f"sqlite:///{tmp_path_factory.mktemp('crash')}/streams.db?history=100000")


def test_nothing_is_lost_that_a_process_killed_while_it_wrote_to_a_file_had_acknowledged(
    crash: Crash,
) -> None:
    for name, ids in crash.acknowledged.items():
        own = [entry.id for entry in crash.log if entry.event.data.startswith(f"{name} ")]
        assert own[: len(ids)] == ids
        assert len(own) - len(ids) in (0, 1)  # which was stored, but not acknowledged any more


def test_nothing_in_a_file_is_doubled_or_torn_by_a_process_killed_while_it_wrote(crash: Crash) -> None:
    for name in crash.acknowledged:
        own = [data for data in data_of(crash.log) if data.startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(len(own))]
    numbers = [sequence_of(entry.id) for entry in crash.log]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_reader_of_a_file_gets_everything_once_while_writers_are_killed(crash: Crash) -> None:
    assert crash.followed == crash.log


@pytest.fixture(params=SERVERS)
def server(
    request: pytest.FixtureRequest, servers: dict[str, Server], tmp_path_factory: pytest.TempPathFactory
) -> Server:
    """One that may be killed."""
    return running(request.param, servers, tmp_path_factory)


def test_a_broker_made_while_its_server_is_away_logs_that_and_raises_nothing(
    server: Server, new_broker: NewBroker, caplog: pytest.LogCaptureFixture
) -> None:
    server.kill()
    with caplog.at_level(logging.WARNING, logger="streamy"):
        new_broker(server.url, timeout=TIMEOUT)
    (record,) = caplog.records
    assert "can't be reached now, and may come later" in record.getMessage()
    assert "secret" not in caplog.text


def test_a_broker_made_while_its_server_is_away_works_once_it_is_there(
    server: Server, new_manager: NewManager
) -> None:
    server.kill()
    sse = new_manager(server.url, timeout=TIMEOUT)
    with pytest.raises(BrokerUnavailable):
        sse.broker.append("news", events("nobody's"))
    server.start()
    with sse.subscribe("news") as subscription:
        sse.send_event("news", "a")
        assert said(subscription, 1) == ["a"]


def test_publishing_to_a_server_that_is_away_fails_and_says_why(
    server: Server, new_manager: NewManager
) -> None:
    sse = new_manager(server.url, timeout=TIMEOUT, retry=NoRetry())
    sse.send_event("news", "a")
    server.kill()
    with pytest.raises(PublishFailed) as failed:
        sse.send_event("news", "b")
    assert isinstance(failed.value.__cause__, BrokerUnavailable)
    assert "secret" not in str(failed.value.__cause__)


def test_reading_from_a_server_that_is_away_fails_as_what_may_pass(
    server: Server, new_broker: NewBroker
) -> None:
    broker = new_broker(server.url, timeout=TIMEOUT)
    broker.append("news", events("a"))
    server.kill()
    with pytest.raises(BrokerUnavailable):
        read_all(broker, "news")


def test_publishing_within_a_transaction_that_breaks_fails_and_stores_nothing(
    server: Server, new_manager: NewManager, new_engine: Callable[[str], Any]
) -> None:
    sse = new_manager(server.url, timeout=TIMEOUT)
    sse.send_event("news", "a")
    with new_engine(server.url).connect() as connection:
        transaction = connection.begin()
        sse.send_event("news", "b", session=connection)
        server.kill()
        with pytest.raises(PublishFailed):
            sse.send_event("news", "c", session=connection)
        with pytest.raises(SQLAlchemyError):
            transaction.commit()
        transaction.close()
    server.start()
    sse.send_event("news", "d")
    assert data_of(read_all(sse.broker, "news")) == ["a", "d"]


@pytest.mark.parametrize("texts", [["b"], ["b", "c", "d"]], ids=["an event", "a batch"])
def test_what_is_tried_again_because_its_reply_was_lost_is_stored_once(
    server: Server, new_manager: NewManager, texts: list[str]
) -> None:
    with Proxy(("127.0.0.1", server.port)) as proxy:
        sse = new_manager(proxy.through(server.url), timeout=TIMEOUT)
        sse.send_event("news", "a")
        sse.cursor("news")  # by whose answer all of the one before has come, too
        proxy.lose_reply(tears=True)
        ids = sse.send_events("news", texts)
        assert proxy.lost == 1
        _, *entries = read_all(sse.broker, "news")
    assert [(entry.id, entry.event.data) for entry in entries] == list(zip(ids, texts, strict=True))


@pytest.mark.parametrize("wrong", ["password", "database"])
def test_a_wrong_login_or_database_is_refused_at_once_without_showing_the_password(
    server: Server, prefix: str, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    url = server.url_of("nowhere") if wrong == "database" else server.url.replace(":secret@", ":s3cr3t@")
    began = time.monotonic()
    with pytest.raises(ConfigError) as refused:
        from_url(url, {"table_prefix": prefix})
    assert time.monotonic() - began < SLACK
    for told in (str(refused.value), str(refused.value.__cause__), caplog.text):
        assert "s3cr3t" not in told
        assert "secret" not in told


def test_clients_of_a_server_that_stood_still_get_everything_once_it_goes_on(
    server: Server, new_manager: NewManager
) -> None:
    publishing, reading = (new_manager(server.url, timeout=TIMEOUT) for _ in range(2))
    with reading.subscribe("news", OLDEST) as subscription, ThreadPoolExecutor(1) as pool:
        publishing.send_event("news", "a")
        assert said(subscription, 1) == ["a"]
        with server.standing_still():
            sending = pool.submit(publishing.send_event, "news", "b")
            wait([sending], 2 * TIMEOUT)
        sending.result(DEADLINE)
        publishing.send_event("news", "c")
        assert said(subscription, 2) == ["b", "c"]
    assert data_of(read_all(reading.broker, "news")) == ["a", "b", "c"]


@pytest.mark.parametrize("doing", ["publishing", "reading"])
def test_a_server_that_stands_still_is_given_up_in_time(
    server: Server, new_broker: NewBroker, doing: str
) -> None:
    broker = new_broker(server.url, timeout=TIMEOUT)
    broker.append("news", events("a"))
    actions = {
        "publishing": lambda: broker.append("news", events("b")),
        "reading": lambda: broker.read({"news": OLDEST}, 10),
    }
    with ThreadPoolExecutor(1) as pool:
        with server.standing_still():
            trying = pool.submit(actions[doing])
            done, _ = wait([trying], 3 * TIMEOUT + SLACK)
        assert done, "it waits on and on"
        assert isinstance(trying.exception(), BrokerUnavailable)


def said(subscription: Any, count: int) -> list[str]:
    """What comes next."""
    entries = [subscription.next(DEADLINE) for _ in range(count)]
    assert all(entries), "too little has come"
    return data_of(entries)
