"""Looks cost by what has changed, however many streams are watched; and none that comes late is missed."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Final

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from streamy_backends.sql.broker import SqlBroker
from streamy_backends.sql.looks import Looks
from streamy_backends.sql.pages import State
from streamy_core.broker import Watch
from streamy_core.testing.reading import events, wait_for_bell

from ..conftest import NewBroker
from .conftest import NewEngine

MANY: Final = 1_000


class Counting:
    """A watch's source that counts what it asked for, and got."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks
        self.late_by = looks.late_by
        self.states = 0

    def heads(self, names: Collection[str]) -> Mapping[str, State]:
        self.states += len(names)
        return self._looks.heads(names)

    def changes(self, since: int) -> tuple[int, Mapping[str, State]]:
        latest, found = self._looks.changes(since)
        self.states += len(found)
        return latest, found


@pytest.fixture
def broker(url: str, new_broker: NewBroker) -> SqlBroker:
    broker = new_broker(url)
    assert isinstance(broker, SqlBroker)
    return broker


@pytest.fixture
def counting(broker: SqlBroker) -> Counting:
    broker._looks = found = Counting(broker._looks)  # type: ignore[assignment]
    return found


@pytest.fixture
def watch(broker: SqlBroker, counting: Counting) -> Watch:
    """Of many streams, each of which has been looked at."""
    watch = broker.watch()
    for n in range(MANY):
        watch.add(f"stream-{n}")
    watch.wait(0)
    return watch


def test_an_event_costs_no_look_at_all_streams(
    watch: Watch, counting: Counting, url: str, new_broker: NewBroker
) -> None:
    other = new_broker(url)
    began, before = time.monotonic(), counting.states
    for n in range(20):
        other.append(f"stream-{n}", events("a"))
        wait_for_bell(watch, f"stream-{n}")
    seconds = time.monotonic() - began
    assert counting.states - before < 20 * 25 + (seconds + 1) * 300, "and some of all streams each second"


def test_an_end_is_seen_by_a_look(watch: Watch, url: str, new_broker: NewBroker) -> None:
    new_broker(url).end("stream-7")
    wait_for_bell(watch, "stream-7")


def test_a_stream_that_is_removed_is_found_in_turns(
    watch: Watch, url: str, new_broker: NewBroker, engine: Engine, prefix: str
) -> None:
    new_broker(url).append("stream-3", events("a"))
    wait_for_bell(watch, "stream-3")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM {prefix}entries WHERE nonce <> ''")
        connection.exec_driver_sql(f"DELETE FROM {prefix}streams WHERE head > 0")
    wait_for_bell(watch, "stream-3")


@pytest.mark.parametrize("held", [0.5, pytest.param(3.0, marks=pytest.mark.slow)])
def test_an_event_is_heard_however_long_its_transaction_took(
    url: str, new_broker: NewBroker, new_engine: NewEngine, held: float
) -> None:
    publisher, reader = new_broker(url), new_broker(url)
    assert isinstance(publisher, SqlBroker)
    publisher.append("late", events("before"))
    watch = reader.watch()
    for name in ("late", "other"):
        watch.add(name)
    wait_for_bell(watch, "late")
    with Session(new_engine(url)) as session:
        publisher.append_within(session, "late", events("a"))
        end = time.monotonic() + held
        while time.monotonic() < end:
            watch.wait(0.1)
            if not url.startswith("sqlite"):  # which has one writer at a time
                reader.append("other", events("meanwhile"))
        session.commit()
    began = time.monotonic()
    wait_for_bell(watch, "late")
    assert time.monotonic() - began < 2.5
