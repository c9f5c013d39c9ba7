"""Others write into the tables: what isn't as ours is a gap, and nobody else is held up by it."""

from __future__ import annotations

from typing import Any, Final

import pytest

from streamy_backends.sql.broker import SqlBroker
from streamy_core import GAP, OLDEST, StreamManager
from streamy_core.testing.reading import data_of, read_all

from .foreign import ForeignSql
from .reading import (
    BAD,
    OTHERS,
    assert_others_come,
    begin,
    connect,
    damage,
    errors_of,
    publish_to_others,
    said,
)

pytestmark = pytest.mark.slow

EVERYWHERE: Final[dict[str, dict[str, Any]]] = {
    "a name with LF": {"name": "a\ndata: forged"},
    "a name with CR": {"name": "a\rdata: forged"},
    "an empty name": {"name": ""},
    "the name of an end": {"name": "streamy.end"},
    "the name of a gap": {"name": "streamy.gap"},
    "the name of an opening": {"name": "streamy.open"},
    "a retry below 0": {"retry": -5},
    "an empty nonce": {"nonce": ""},
    "a nonce with a line break": {"nonce": "a\nb"},
    "a nonce with a dot": {"nonce": "a.c"},
    "a nonce in another script": {"nonce": "äöü"},
}
WITH_NUL: Final[dict[str, dict[str, Any]]] = {
    "data with NUL": {"data": "evil\0"},
    "a name with NUL": {"name": "a\0b"},
    "a nonce with NUL": {"nonce": "a\0c"},
}
OF_ANY_TYPE: Final[dict[str, dict[str, Any]]] = {
    "data that is bytes": {"data": b"evil"},
    "a name that is bytes": {"name": b"evil"},
    "a name of 256 characters": {"name": "x" * 256},
    "a retry that is a text": {"retry": "soon"},
    "a retry that is broken": {"retry": 1.5},
    "a retry beyond all bounds": {"retry": 2**62},
    "a nonce that is bytes": {"nonce": b"abc"},
    "a nonce as long as a line": {"nonce": "x" * 1_000},
}
NO_UTF_8: Final = {"data": "'evil' || X'FF'", "name": "'evil' || X'FF'", "nonce": "'a' || X'FF'"}
"""What a column is set to, as SQLite says it."""

KINDS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "postgresql": EVERYWHERE,
    "mariadb": EVERYWHERE | WITH_NUL,
    "sqlite": EVERYWHERE | WITH_NUL | OF_ANY_TYPE,
}
CASES: Final = [
    pytest.param(kind, columns, id=f"{kind}-{name}")
    for kind, found in KINDS.items()
    for name, columns in found.items()
] + [
    pytest.param("sqlite", column, id=f"sqlite-{column} that is no UTF-8") for column in NO_UTF_8
]  # fmt: skip
each_poison = pytest.mark.parametrize(("foreign_sql", "poison"), CASES, indirect=["foreign_sql"])


@pytest.fixture
def sse(foreign_sql: ForeignSql) -> StreamManager:
    return begin(foreign_sql.manager())


def write(foreign: ForeignSql, poison: dict[str, Any] | str) -> str:
    if isinstance(poison, dict):
        return foreign.append(BAD, **poison)
    broken = f"CAST({NO_UTF_8[poison]} AS TEXT)"
    return foreign.append(BAD, then=f"UPDATE {{entries}} SET {poison} = {broken} WHERE data = 'evil'")


@each_poison
def test_an_entry_that_can_t_be_read_is_a_gap_and_holds_nobody_up(
    foreign_sql: ForeignSql, sse: StreamManager, poison: Any, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, error = damage(sse, lambda: write(foreign_sql, poison), caplog)
    assert f"stream {BAD!r}: its entry {damaged!r} can't be read" in error


@each_poison
def test_whoever_comes_back_to_a_damaged_entry_goes_on(
    foreign_sql: ForeignSql, sse: StreamManager, poison: Any
) -> None:
    damaged = write(foreign_sql, poison)
    sse.send_events(BAD, ["a", "b"])
    with connect(sse, [BAD, OTHERS[0]], after=damaged) as client:
        assert [event.data for event in client.events(2)] == ["a", "b"]


EPOCHS: Final = ["", "a b", "a.b", "a\nb", "-ab", "äöü"]


@pytest.mark.parametrize("epoch", EPOCHS, ids=ascii)
def test_an_epoch_that_is_none_has_another_that_stands_in_for_it(
    foreign_sql: ForeignSql, sse: StreamManager, epoch: str
) -> None:
    with sse.subscribe(BAD) as bad, sse.subscribe(OTHERS) as others:
        foreign_sql.do("UPDATE {streams} SET epoch = ? WHERE stream_id = ?", epoch, foreign_sql.named(BAD))
        publish_to_others(sse)
        assert_others_come(others)
        published = sse.send_event(BAD, "b")
        came = said(bad, 1)
        while came[-1] != "b":
            came += said(bad, 1)
        assert came[0] == GAP
    assert read_all(sse.broker, BAD)[-1].id == published
    with connect(sse, BAD, after=published) as client:
        sse.send_event(BAD, "c")
        assert [event.data for event in client.events(1)] == ["c"]


@pytest.mark.parametrize("end", ["", "a b", "a\nb"], ids=ascii)
def test_an_end_that_others_have_written_is_one(
    foreign_sql: ForeignSql, sse: StreamManager, end: str
) -> None:
    foreign_sql.do("UPDATE {streams} SET end_nonce = ? WHERE stream_id = ?", end, foreign_sql.named(BAD))
    with connect(sse, BAD, after=OLDEST) as client:
        assert [event.type for event in client.read_to_end()] == ["message", "streamy.end"]
        last = client.last_event_id
    with connect(sse, BAD, after=last) as client:
        assert client.status == 204


HEADS: Final = [
    *[pytest.param(kind, -5, id=f"{kind}-below 0") for kind in KINDS],
    *[pytest.param(kind, 2**62 + 1, id=f"{kind}-beyond all bounds") for kind in KINDS],
    *[pytest.param("sqlite", head, id=f"sqlite-{head!r}") for head in ("many", b"1", 1.5)],
]


@pytest.mark.parametrize(("foreign_sql", "head"), HEADS, indirect=["foreign_sql"])
def test_a_stream_s_row_that_can_t_be_read_holds_nobody_else_up(
    foreign_sql: ForeignSql, sse: StreamManager, head: Any, caplog: pytest.LogCaptureFixture
) -> None:
    row = foreign_sql.named(BAD)
    with sse.subscribe(BAD) as bad, sse.subscribe(OTHERS) as others:
        foreign_sql.do("UPDATE {streams} SET head = ? WHERE stream_id = ?", head, row)
        publish_to_others(sse)
        assert_others_come(others)
        with connect(sse, BAD, after=OLDEST):
            pass
        assert f"stream {BAD!r}: what is stored of it can't be read" in errors_of(caplog)[0]
        assert not sse.health.failures
        foreign_sql.do("UPDATE {streams} SET head = ? WHERE stream_id = ?", 1, row)
        sse.send_event(BAD, "mended")
        while said(bad, 1) != ["mended"]:
            pass


@pytest.mark.parametrize("foreign_sql", ["sqlite"], indirect=True)
@pytest.mark.parametrize("sequence", [1.5, "many", b"many"])
def test_a_row_with_a_number_that_is_none_is_passed_over(
    foreign_sql: ForeignSql, sse: StreamManager, sequence: Any
) -> None:
    sse.send_event(BAD, "a")
    foreign_sql.do(
        "INSERT INTO {entries} (stream_id, sequence, nonce, stored_at, data) VALUES (?, ?, 'abc', 0, 'evil')",
        BAD,
        sequence,
    )
    sse.send_event(BAD, "b")
    assert data_of(read_all(sse.broker, BAD)) == ["before", "a", "b"]
    assert data_of(read_all(sse.broker, BAD, limit=1)) == ["before", "a", "b"]


NAMES: Final = [
    pytest.param("mariadb", b"\xff", id="mariadb"),
    pytest.param("sqlite", b"\xff", id="sqlite"),
]


@pytest.mark.parametrize(("foreign_sql", "name"), NAMES, indirect=["foreign_sql"])
def test_a_stream_whose_name_is_no_text_keeps_nothing_from_being_listed_and_tidied(
    foreign_sql: ForeignSql, sse: StreamManager, name: bytes
) -> None:
    broker = foreign_sql.broker
    assert isinstance(broker, SqlBroker)
    foreign_sql.do("INSERT INTO {streams} (stream_id, epoch, head) VALUES (?, 'abcde', 7)", name)
    assert {BAD, *OTHERS} <= {info.stream_id for info in broker.streams()}
    foreign_sql.do("UPDATE {meta} SET tidied_at = 0")
    foreign_sql.do("UPDATE {entries} SET stored_at = 0")
    assert broker._retention.tidy()
    assert not read_all(broker, OTHERS[-1])
