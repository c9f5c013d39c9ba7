"""Others write into a log in Redis: what isn't as ours is a gap, and nobody else is held up by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from streamy_core import GAP, OLDEST, StreamManager
from streamy_core.testing.reading import data_of, eventually, read_all

from .foreign import ForeignRedis
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

METAS: Final[dict[str, bytes]] = {
    "nothing": b"",
    "one line": b"abc",
    "two lines": b"abc\n",
    "four lines": b"abc\n\na\nb",
    "a name with CR": b"abc\n\na\rdata: x",
    "a name with NUL": b"abc\n\na\0b",
    "a name with NUL, like another entry": b"abc\n\na\0b\0abc\n\n",
    "a name of 256 characters": b"abc\n\n" + b"x" * 256,
    "a name that is no UTF-8": b"abc\n\n\xff",
    "the name of an end": b"abc\n\nstreamy.end",
    "the name of a gap": b"abc\n\nstreamy.gap",
    "the name of an opening": b"abc\n\nstreamy.open",
    "a retry below 0": b"abc\n-5\n",
    "a retry that is no number": b"abc\nsoon\n",
    "a retry beyond all bounds": b"abc\n" + b"9" * 5_000 + b"\n",
    "no nonce": b"\n\n",
    "a nonce with spaces": b"a b c\n\n",
    "a nonce with a dot": b"a.c\n\n",
    "a nonce that is no UTF-8": b"\xff\xfe\xfd\n\n",
    "a nonce in another script": "äöü\n\n".encode(),
    "a nonce as long as a line": b"x" * 100 + b"\n\n",
}
DATA: Final[dict[str, bytes]] = {
    "data that is no UTF-8": b"evil\xff",
    "data with half a character": b"evil\xed\xa0\x80",
    "data with NUL": b"evil\0",
    "data with NUL, like another entry": b"evil\0abc\n\n\0evil",
}
FIELDS: Final[dict[str, dict[bytes, bytes]]] = {
    "one field": {b"event": b"evil"},
    "our fields, and one more": {b"m": b"abc\n\n", b"d": b"evil", b"x": b""},
    "our fields, swapped": {b"d": b"evil", b"m": b"abc\n\n"},
}
LIKE_OURS: Final = {b"m": b"xyz\n\n", b"d": b"like ours"}
"""But for its nonce, which isn't the state's."""

Poison = Callable[[ForeignRedis], str]
"""Writes into the stream "bad", and returns the id of what has been written."""


def by_script(meta: bytes, data: bytes) -> Poison:
    return lambda foreign: foreign.append(BAD, meta, data)


def by_hand(fields: dict[bytes, bytes]) -> Poison:
    return lambda foreign: foreign.add(BAD, fields)


POISONS: Final[dict[str, Poison]] = {
    **{f"meta: {name}": by_script(meta, b"evil") for name, meta in METAS.items()},
    **{name: by_script(b"abc\n\n", data) for name, data in DATA.items()},
    **{f"by hand: {name}": by_hand(fields) for name, fields in FIELDS.items()},
}


@pytest.fixture
def sse(foreign_redis: ForeignRedis) -> StreamManager:
    return begin(foreign_redis.manager())


@pytest.mark.parametrize("poison", POISONS.values(), ids=list(POISONS))
def test_an_entry_that_can_t_be_read_is_a_gap_and_holds_nobody_up(
    foreign_redis: ForeignRedis, sse: StreamManager, poison: Poison, caplog: pytest.LogCaptureFixture
) -> None:
    damaged, error = damage(sse, lambda: poison(foreign_redis), caplog)
    epoch_and_number = damaged.rpartition(".")[0]
    assert f"stream {BAD!r}: its entry '{epoch_and_number}." in error


@pytest.mark.parametrize("poison", [*POISONS.values(), by_hand(LIKE_OURS)], ids=[*POISONS, "like ours"])
def test_whoever_comes_back_to_a_damaged_entry_goes_on(
    foreign_redis: ForeignRedis, sse: StreamManager, poison: Poison
) -> None:
    damaged = poison(foreign_redis)
    sse.send_events(BAD, ["a", "b"])
    with connect(sse, [BAD, OTHERS[0]], after=damaged) as client:
        assert [event.data for event in client.events(1)] != ["evil"]
    with sse.subscribe(BAD, after=damaged) as bad:
        came: list[str] = []
        while came[-2:] != ["a", "b"]:
            came += said(bad, 1)
        assert len(came) <= 5, "what has been read comes again at most once, after a gap"


STATES: Final[dict[str, bytes]] = {
    "words": b"no state of ours",
    "nothing": b"",
    "no UTF-8": b"\xff\xfe",
    "an epoch that is none": b"a.b 2 abc 0 000 0 - secret",
    "a nonce with a line break": b"abcde 2 a\nc 0 000 0 - secret",
    "a head beyond all bounds": b"abcde 99999999999999999999 abc 0 000 0 - secret",
    "a beginning after the head": b"abcde 2 abc 9 000 0 - secret",
    "a head below 0": b"abcde -2 abc 0 000 0 - secret",
    "as long as a page": b"abcde 2 abc 0 000 0 - " + b"x" * 10_000,
}


@pytest.mark.parametrize("state", STATES.values(), ids=list(STATES))
def test_a_state_that_can_t_be_read_is_a_gap_and_the_stream_begins_anew(
    foreign_redis: ForeignRedis, sse: StreamManager, state: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sse.send_event(BAD, "a")
    foreign_redis.client.set(foreign_redis.keys.state(BAD), state)
    damaged_state_is_skipped(sse, caplog)


@pytest.mark.parametrize("with_log", [True, False])
def test_a_state_of_another_kind_is_a_gap_and_the_stream_begins_anew(
    foreign_redis: ForeignRedis, sse: StreamManager, with_log: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sse.send_event(BAD, "a")
    state, log = foreign_redis.keys.for_read(BAD)
    foreign_redis.client.delete(state)
    foreign_redis.client.lpush(state, "x")
    if not with_log:
        foreign_redis.client.delete(log)
        foreign_redis.client.set(log, "x")
    damaged_state_is_skipped(sse, caplog)


def damaged_state_is_skipped(sse: StreamManager, caplog: pytest.LogCaptureFixture) -> None:
    with sse.subscribe(BAD, after="elsewhere") as bad, sse.subscribe(OTHERS) as others:
        with connect(sse, BAD, after=OLDEST):
            pass
        publish_to_others(sse)
        assert_others_come(others)
        assert said(bad, 1) == [GAP]
        sse.send_event(BAD, "b")
        assert said(bad, 1) == ["b"]
    assert f"stream {BAD!r}: what is stored of it can't be read" in errors_of(caplog)[0]


@pytest.mark.parametrize("state", STATES.values(), ids=list(STATES))
def test_a_stream_with_a_state_that_can_t_be_read_can_be_ended(
    foreign_redis: ForeignRedis, sse: StreamManager, state: bytes
) -> None:
    foreign_redis.client.set(foreign_redis.keys.state(BAD), state)
    sse.end_stream(BAD)
    with connect(sse, BAD, after=OLDEST) as client:
        assert [event.type for event in client.read_to_end()] == ["streamy.end"]


@pytest.mark.parametrize("entry_id", ["*", "3-1", "18446744073709551615-1", "4503599627370497-1"])
def test_what_others_put_beyond_the_head_is_never_read_and_keeps_nobody_from_publishing(
    foreign_redis: ForeignRedis, sse: StreamManager, entry_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    sse.send_event(BAD, "a")
    with sse.subscribe(BAD) as bad, sse.subscribe(OTHERS) as others:
        for _ in range(3 if entry_id == "*" else 1):
            foreign_redis.client.xadd(
                foreign_redis.keys.for_read(BAD)[1], {"m": "abc", "d": "evil"}, entry_id
            )
        publish_to_others(sse)
        assert_others_come(others)
        sse.send_event(BAD, "b")
        assert said(bad, 1) == ["b"]
    assert data_of(read_all(sse.broker, BAD)) == ["before", "a", "b"]
    assert not errors_of(caplog)


def test_what_others_put_beside_an_entry_under_its_number_is_passed_over(
    foreign_redis: ForeignRedis, sse: StreamManager
) -> None:
    sse.send_event(BAD, "a")
    foreign_redis.client.xadd(
        foreign_redis.keys.for_read(BAD)[1], {"m": "abc\n\n", "d": "evil"}, f"2-{2**60}"
    )
    sse.send_events(BAD, ["b", "c"])
    assert data_of(read_all(sse.broker, BAD)) == ["before", "a", "b", "c"]
    assert data_of(read_all(sse.broker, BAD, limit=1)) == ["before", "a", "b", "c"]


@pytest.mark.parametrize("kind", ["a text", "a list"])
def test_what_others_put_in_the_place_of_a_log_is_a_gap_and_gives_way(
    foreign_redis: ForeignRedis, sse: StreamManager, kind: str
) -> None:
    log = foreign_redis.keys.for_read(BAD)[1]
    foreign_redis.client.delete(log)
    if kind == "a text":
        foreign_redis.client.set(log, "x")
    else:
        foreign_redis.client.lpush(log, "x")
    with sse.subscribe(OTHERS) as others, connect(sse, BAD, after="elsewhere") as client:
        publish_to_others(sse)
        assert_others_come(others)
        sse.send_event(BAD, "b")
        while client.events(1)[0].data != "b":
            pass
    assert not sse.health.failures


@pytest.mark.parametrize("record", [b"", b"known", b"\xff", b"abcde 1 a\nb 1", b"abcde 1 abc -1"])
def test_what_others_put_in_the_place_of_an_idempotency_key_counts_as_none(
    foreign_redis: ForeignRedis, sse: StreamManager, record: bytes
) -> None:
    foreign_redis.client.set(foreign_redis.keys.for_append(BAD, "k")[2], record)
    first = sse.send_event(BAD, "a", idempotency_key="k")
    assert sse.send_event(BAD, "a", idempotency_key="k") == first
    assert data_of(read_all(sse.broker, BAD)) == ["before", "a"]


@pytest.mark.parametrize("epoch", [b"", b"a b", b"a.b", b"\xff", b"x" * 100])
def test_an_epoch_that_is_none_is_made_anew(foreign_redis: ForeignRedis, epoch: bytes) -> None:
    foreign_redis.client.set(foreign_redis.keys.epoch, epoch)
    sse = foreign_redis.manager()
    with sse.subscribe("new") as new:
        sse.send_event("new", "a")
        while said(new, 1) != ["a"]:
            pass
    eventually(lambda: foreign_redis.client.get(foreign_redis.keys.epoch) != epoch, "another epoch")


def test_a_key_whose_name_is_no_text_isn_t_listed(foreign_redis: ForeignRedis, sse: StreamManager) -> None:
    foreign_redis.client.set(f"{foreign_redis.keys.prefix}:{{".encode() + b"\xff}:state", "x")
    names = [info.stream_id for info in sse.broker.streams()]  # type: ignore[attr-defined]
    assert names == sorted([BAD, *OTHERS])
