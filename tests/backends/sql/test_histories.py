"""What is kept belongs to the streams, and not to whoever publishes; old streams can be forgotten."""

from __future__ import annotations

import logging

import pytest

from streamy_backends.sql.broker import SqlBroker
from streamy_core.broker import OLDEST, Broker, Forgets, HasTables
from streamy_core.events import CONTROL
from streamy_core.testing.reading import events, eventually, read

from ..conftest import NewBroker
from .keeping import NEVER_BY_ITSELF, Tables, Time, keeper, kept

MANY = 1_600
"""More than are kept where nobody says anything."""

A_DAY = 86_400.0


def fill(broker: Broker, name: str = "news", count: int = MANY) -> None:
    for first in range(0, count, 100):
        broker.append(name, events(*map(str, range(first, min(first + 100, count)))))


def test_a_script_without_a_setting_keeps_what_the_app_keeps(url: str, new_broker: NewBroker) -> None:
    app, script = new_broker(url, history=10_000), new_broker(url)
    app.append("news", events("first"))
    fill(script)
    assert len(kept(app)) == MANY + 1


def test_it_does_so_when_the_app_only_reads(url: str, new_broker: NewBroker) -> None:
    app, script = new_broker(url, history=10_000), new_broker(url)
    fill(script)
    assert len(kept(app)) == MANY


def test_a_script_that_made_the_stream_keeps_what_the_app_says_later(url: str, new_broker: NewBroker) -> None:
    script = new_broker(url)
    script.append("news", events("first"))
    app = new_broker(url, history=10_000)
    app.append("news", events("second"))
    fill(script)
    assert len(kept(app)) == MANY + 2


def test_where_nobody_says_anything_a_thousand_are_kept(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(url)
    fill(broker)
    assert 1_000 <= len(kept(broker)) <= 1_250


def test_streams_of_different_settings_keep_what_was_said_of_each(url: str, new_broker: NewBroker) -> None:
    few, many = new_broker(url, history=8), new_broker(url, history=100)
    fill(few, "few", 60)
    fill(many, "many", 90)
    fill(few, "few", 60)
    assert 8 <= len(kept(few, "few")) <= 10
    assert len(kept(few, "many")) == 90


def test_a_publisher_that_says_less_is_told_once(
    url: str, new_broker: NewBroker, caplog: pytest.LogCaptureFixture
) -> None:
    new_broker(url, history=10_000).append("news", events("first"))
    caplog.clear()
    script = new_broker(url, history=50)
    fill(script, count=300)
    assert len(kept(script)) == 301
    (told,) = [record for record in caplog.records if "as another process has said" in record.getMessage()]
    assert (told.name, told.levelno) == ("streamy.sql", logging.WARNING)
    assert "10000 entries" in told.getMessage()
    assert "not the 50 that this one says" in told.getMessage()
    assert "flask streamy init-db" in told.getMessage()


def test_making_the_tables_has_streams_keep_what_the_app_says(url: str, new_broker: NewBroker) -> None:
    new_broker(url, history=10_000).append("news", events("first"))
    app = new_broker(url, history=20)
    assert isinstance(app, HasTables)
    app.create_tables()
    fill(app, count=300)
    assert 20 <= len(kept(app)) <= 25


def test_who_tidies_up_goes_by_the_age_that_the_app_says(tables: Tables, time: Time, url: str) -> None:
    tables.append("news", "old", at=time.now)
    tables.append("news", "young", at=time.now + 50_000)
    tables.do("UPDATE {streams} SET history_age = ?", 200_000)
    time.pass_(100)
    script = keeper(tables, time, history_age=60.0, **NEVER_BY_ITSELF)
    assert script.tidy()
    assert kept(tables.broker) == ["old", "young"]
    tables.do("UPDATE {streams} SET history_age = 0")
    time.pass_(4_000)
    assert script.tidy()
    assert kept(tables.broker) == []


@pytest.fixture
def old(tables: Tables) -> SqlBroker:
    """Has a stream that was written to two days ago, one that ended then, and a new one."""
    broker = tables.broker
    for name in ("old", "ended"):
        fill(broker, name, 600)
    broker.end("ended")
    tables.do("UPDATE {streams} SET changed = changed - ?", int(2 * A_DAY * 1_000_000))
    broker.append("new", events("a"))
    return broker


def names(broker: SqlBroker) -> list[str]:
    return [info.stream_id for info in broker.streams()]


def test_old_streams_are_forgotten_with_all_that_is_of_them(old: SqlBroker, tables: Tables) -> None:
    assert isinstance(old, Forgets)
    assert old.forget(3 * A_DAY) == 0
    assert old.forget(A_DAY) == 2
    assert names(old) == ["new"]
    assert tables.count("entries") == 2, "the new one's, and what comes before it"


def test_of_old_streams_only_the_ended_ones_may_be_forgotten(old: SqlBroker) -> None:
    assert old.forget(A_DAY, ended=True) == 1
    assert names(old) == ["new", "old"]


def test_a_stream_that_was_forgotten_begins_anew_and_its_readers_are_told(old: SqlBroker) -> None:
    before = old.tail(["old"])["old"]
    old.forget(A_DAY)
    assert read(old, "old", before).gap
    old.append("old", events("b"))
    assert read(old, "old", before).gap
    assert [entry.event.data for entry in read(old, "old", OLDEST).entries] == ["b"]


def test_the_stream_of_commands_is_not_forgotten_or_all_clients_would_be_disconnected(
    old: SqlBroker, tables: Tables
) -> None:
    before = old.append(CONTROL, events("a"))[0]
    tables.do("UPDATE {streams} SET changed = changed - ?", int(2 * A_DAY * 1_000_000))
    old.forget(A_DAY)
    assert names(old) == [CONTROL]
    assert not read(old, CONTROL, before).gap


def test_who_tidies_up_forgets_what_the_setting_says(old: SqlBroker, tables: Tables, time: Time) -> None:
    assert keeper(tables, time, forget_after=A_DAY, **NEVER_BY_ITSELF).tidy()
    assert names(old) == ["new"]


def test_streams_that_have_changed_in_one_moment_are_all_forgotten_at_once(tables: Tables) -> None:
    tables.broker.append_to_many(dict.fromkeys([f"s{n}" for n in range(120)], events("a")))
    tables.do("UPDATE {streams} SET changed = 1")
    assert tables.broker.forget(A_DAY) == 120


def test_a_process_forgets_by_itself(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(url, forget_after=0.2, tidy_every=0.1)
    assert isinstance(broker, SqlBroker)
    broker.append("news", events("a"))
    eventually(lambda: not names(broker), "a stream that is forgotten")
