"""Mistakes at the broker, with real servers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core.broker import Entry, Page
from streamy_core.cli.doctor.broker import clock_of, of_broker, trial
from streamy_core.plugins import open_broker

from ...backends.redis.conftest import program
from ...backends.redis.servers import Server as Redis
from ...backends.sql.conftest import server_in
from ...backends.sql.servers import Server as Database
from ...backends.sql.servers import pooler_of_transactions
from .planted import assert_found

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(program("valkey"), tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    server = server_in("postgresql", tmp_path_factory.mktemp("postgresql")).start()
    yield server
    server.stop()


def test_a_good_broker_is_nothing_to_speak_of(redis: Redis, postgresql: Database, tmp_path: Path) -> None:
    for url in (redis.url, postgresql.url, f"sqlite:///{tmp_path}/streams.db", "memory://"):
        assert list(of_broker(url)) == []
        assert list(of_broker(url)) == []


def test_the_doctors_stream_is_in_no_list(redis: Redis) -> None:
    assert list(of_broker(redis.url)) == []
    with open_broker(redis.url) as broker:
        assert [info.stream_id for info in broker.streams()] == ["\x1fstreamy.doctor"]  # type: ignore[attr-defined]


def test_a_driver_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert_found(
        of_broker("postgresql://127.0.0.1/x"),
        "error",
        "can't be used",
        "pip install 'streamy-sse[postgresql]'",
    )


def test_a_scheme_that_nobody_serves() -> None:
    assert_found(of_broker("reddis://127.0.0.1"), "error", "can't be used", "did you mean redis://?")


@pytest.mark.parametrize("url", ["redis://:hunter2@127.0.0.1:1/0", "postgresql://u:hunter2@127.0.0.1:1/db"])
def test_a_backend_that_is_not_reached(url: str) -> None:
    findings = list(of_broker(url))
    assert_found(findings, "error", "can't be reached", "nc -vz 127.0.0.1 1")
    assert "hunter2" not in repr(findings)


def test_rights_that_are_missing(redis: Redis) -> None:
    redis.client.execute_command(
        "ACL", "SETUSER", "app", "reset", "on", ">secret", "~*", "&*", "+@all", "-xadd"
    )
    url = redis.url.replace("//", "//app:secret@")
    assert_found(of_broker(url), "error", "can't be used", "ACL SETUSER")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_tables_that_are_missing(postgresql: Database, tmp_path: Path, kind: str) -> None:
    url = f"sqlite:///{tmp_path}/streams.db" if kind == "sqlite" else postgresql.url
    options = {"create_tables": False, "table_prefix": "none_"}
    assert_found(of_broker(url, options), "error", "can't be used", "flask streamy init-db")


def test_a_server_that_drops_streams_when_memory_is_short(redis: Redis) -> None:
    redis.client.config_set("maxmemory", "100mb")
    redis.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert_found(of_broker(redis.url), "warning", "maxmemory-policy allkeys-lru", "noeviction")
    finally:
        redis.client.config_set("maxmemory-policy", "noeviction")
        redis.client.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    "lines", [(), ("ignore_startup_parameters = options",)], ids=["that refuses", "that swallows"]
)
def test_a_pooler_of_transactions(postgresql: Database, tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pooler_of_transactions(postgresql, tmp_path, *lines) as url:
        findings = list(of_broker(url))
        assert len(findings) == 1
        assert "notify=false" in findings[0].cure
        assert list(of_broker(f"{url}?notify=false")) == []


@pytest.mark.parametrize("kind", ["redis", "postgresql", "sqlite"])
@pytest.mark.parametrize(("ahead", "level"), [(120, "error"), (-10, "warning")])
def test_a_clock_that_is_wrong(
    redis: Redis, postgresql: Database, tmp_path: Path, kind: str, ahead: int, level: str
) -> None:
    urls = {"redis": redis.url, "postgresql": postgresql.url, "sqlite": f"sqlite:///{tmp_path}/streams.db"}
    way = "ahead of" if ahead > 0 else "behind"
    with open_broker(urls[kind]) as broker:
        assert_found(
            clock_of(broker, lambda: time.time() + ahead), level, f"{abs(ahead)} s {way}", "set-ntp true"
        )


class Elsewhere(MemoryBroker):
    """Shows to readers what another server has."""

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        no_entries: tuple[Entry, ...] = ()
        return {name: Page(no_entries, cursor) for name, cursor in cursors.items()}


def test_readers_that_are_led_elsewhere() -> None:
    with Elsewhere() as broker:
        assert_found(trial(broker, broker), "error", "isn't there when it is read", "the primary")


class Slow(MemoryBroker):
    def append(self, *args: object, **kwargs: object) -> list[str]:
        time.sleep(0.3)
        return super().append(*args, **kwargs)  # type: ignore[arg-type]


def test_a_backend_that_is_far_away() -> None:
    with Slow() as broker:
        assert_found(trial(broker, broker), "warning", "took 0.3", "nearer")


def test_a_bell_that_is_not_heard() -> None:
    with MemoryBroker() as publisher, MemoryBroker() as deaf:
        deaf.rings_within = 0.2
        found = list(trial(publisher, deaf))
    assert any("bell isn't heard" in finding.what for finding in found)
