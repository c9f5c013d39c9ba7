"""What is kept, and for how long."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import pytest

from streamy_core import StreamEnded
from streamy_core.broker import Broker, StreamInfo
from streamy_core.events import CONTROL
from streamy_core.ids import sequence_of
from streamy_core.testing.reading import data_of, events, eventually, read, read_all

from ..conftest import NewBroker
from .conftest import KINDS, kept, listed
from .servers import Server

pytestmark = pytest.mark.slow


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, shared: Callable[[str], Any]) -> Server:
    found: Server = shared(request.param)
    return found


Keeping = Callable[..., Broker]


@pytest.fixture
def keeping(server: Server, new_broker: NewBroker) -> Keeping:
    """Makes a broker that keeps what these options say."""
    return lambda **options: new_broker(server.url, **options)


@pytest.mark.parametrize("history", [1, 7, 8, 40])
def test_at_least_the_history_is_kept_and_at_most_an_eighth_more(keeping: Keeping, history: int) -> None:
    broker = keeping(history=history)
    for n in range(1, 2 * history + 20):
        broker.append("news", events(str(n)))
        found = kept(broker)
        assert min(n, history) <= len(found) <= history + history // 8
        assert found == [str(number) for number in range(n - len(found) + 1, n + 1)]


def test_a_batch_that_is_longer_than_the_history_leaves_its_newest(keeping: Keeping) -> None:
    broker = keeping(history=10)
    broker.append("news", events("before"))
    broker.append("news", events(*map(str, range(100))))
    assert kept(broker) == [str(n) for n in range(90, 100)]


def test_the_gap_begins_exactly_where_something_is_missing(keeping: Keeping) -> None:
    broker = keeping(history=16)
    ids = [broker.append("news", events(str(n)))[0] for n in range(50)]
    missing = 50 - len(kept(broker))
    assert [read(broker, "news", cursor).gap for cursor in ids] == [n < missing - 1 for n in range(50)]


def test_batches_are_trimmed_to_the_same_exact_gap(keeping: Keeping) -> None:
    broker = keeping(history=16)
    ids = [one for n in range(20) for one in broker.append("news", events(*[f"{n} {m}" for m in range(5)]))]
    missing = 100 - len(kept(broker))
    assert [read(broker, "news", cursor).gap for cursor in ids] == [n < missing - 1 for n in range(100)]


def test_a_list_says_how_many_are_left(keeping: Keeping) -> None:
    broker = keeping(history=8)
    ids = [broker.append("news", events(str(n)))[0] for n in range(30)]
    assert listed(broker) == {"news": StreamInfo("news", len(kept(broker)), ids[-1], ended=False)}


def test_what_is_too_old_goes_when_the_stream_is_written_to(keeping: Keeping) -> None:
    broker = keeping(history_age=0.5)
    old, young = broker.append("news", events("old"))[0], ["old"]

    def old_has_gone() -> bool:
        young.append(str(len(young)))
        broker.append("news", events(young[-1]))
        return "old" not in kept(broker)

    eventually(old_has_gone, "the old entry gone")
    left = kept(broker)
    assert left == young[-len(left) :]
    assert len(left) > 1, "so many were written within the age"
    assert read(broker, "news", old).gap == (young[1] not in left)


def test_the_gap_of_what_was_too_old_is_exact(keeping: Keeping) -> None:
    broker = keeping(history_age=0.2)
    ids = [broker.append("news", events("0"))[0]]

    def some_have_gone() -> bool:
        ids.extend(broker.append("news", events(str(len(ids)))))
        return len(kept(broker)) < len(ids) - 3

    eventually(some_have_gone, "the oldest entries gone")
    missing = len(ids) - len(kept(broker))
    gaps = [read(broker, "news", cursor).gap for cursor in ids[: missing + 1]]
    assert gaps == [n < missing - 1 for n in range(missing + 1)]


def test_an_idle_streams_entries_go_by_themselves(keeping: Keeping) -> None:
    broker = keeping(history_age=0.2)
    broker.append("news", events("a", "b"))
    eventually(lambda: kept(broker) == [], "the entries gone")


def test_a_reader_that_had_all_of_an_idle_stream_keeps_its_cursor(keeping: Keeping) -> None:
    broker = keeping(history_age=0.5)
    first, last = broker.append("news", events("a", "b"))
    eventually(lambda: kept(broker) == [], "the entries gone")
    assert (read(broker, "news", first).gap, read(broker, "news", last).gap) == (True, False)
    broker.append("news", events("c"))
    assert (read(broker, "news", first).gap, read(broker, "news", last).gap) == (True, False)
    assert data_of(read_all(broker, "news", last)) == ["c"]


def test_a_stream_whose_entries_have_gone_goes_on_counting(keeping: Keeping) -> None:
    broker = keeping(history_age=0.5)
    ids = broker.append("news", events("a", "b"))
    eventually(lambda: kept(broker) == [], "the entries gone")
    ids += broker.append("news", events("c"))
    assert [sequence_of(one) for one in ids] == [1, 2, 3]


def test_an_end_outlives_its_streams_entries(keeping: Keeping) -> None:
    broker = keeping(history_age=0.2)
    (last,) = broker.append("news", events("a"))
    broker.end("news")
    eventually(lambda: kept(broker) == [], "the entries gone")
    assert read(broker, "news", last).ended
    with pytest.raises(StreamEnded):
        broker.append("news", events("b"))


def test_an_idle_stream_is_forgotten_and_its_cursors_are_gaps(keeping: Keeping) -> None:
    broker = keeping(history_age=0.2, forget_after=0.2)
    (last,) = broker.append("news", events("a"))
    eventually(lambda: listed(broker) == {}, "the stream forgotten")
    assert read(broker, "news", last).gap
    broker.append("news", events("b"))
    assert read(broker, "news", last).gap
    assert kept(broker) == ["b"]


def test_the_stream_of_commands_is_not_forgotten_or_all_clients_would_be_disconnected(
    keeping: Keeping,
) -> None:
    broker = keeping(history_age=0.2, forget_after=0.2)
    last = {name: broker.append(name, events("a"))[0] for name in (CONTROL, "news")}
    eventually(lambda: read(broker, "news", last["news"]).gap, "the other stream forgotten")
    assert not read(broker, CONTROL, last[CONTROL]).gap
    broker.append(CONTROL, events("b"))
    assert data_of(read_all(broker, CONTROL)) == ["b"]


def test_an_end_is_forgotten_with_its_stream(keeping: Keeping) -> None:
    broker = keeping(history_age=0.2, forget_after=0.2)
    broker.end("news")
    eventually(lambda: listed(broker) == {}, "the stream forgotten")
    assert len(broker.append("news", events("a"))) == 1


def test_a_stream_that_is_written_to_is_not_forgotten(keeping: Keeping) -> None:
    broker = keeping(history_age=0.6, forget_after=0.6)
    broker.append("idle", events("a"))
    ids = broker.append("busy", events("a"))

    def idle_has_gone() -> bool:
        ids.extend(broker.append("busy", events("a")))
        return "idle" not in listed(broker)

    eventually(idle_has_gone, "the idle stream forgotten")
    assert [sequence_of(one) for one in ids] == list(range(1, len(ids) + 1))


def test_a_key_is_remembered_for_its_age_and_no_longer(server: Server, keeping: Keeping, prefix: str) -> None:
    broker = keeping(key_age=0.5)
    broker.append("news", events("a"), idempotency_key="k")
    broker.append("news", events("a"), idempotency_key="k")
    assert kept(broker) == ["a"]
    eventually(lambda: not server.client.exists(f"{prefix}:{{news}}:key:k"), "the key forgotten")
    broker.append("news", events("a"), idempotency_key="k")
    assert kept(broker) == ["a", "a"]


MANY: Final = 1_600
"""More than are kept where nobody says anything."""


def publish_many(broker: Broker, count: int = MANY) -> None:
    for first in range(0, count, 100):
        broker.append("news", events(*map(str, range(first, first + 100))))


@pytest.mark.parametrize("publishes", [True, False], ids=["that publishes", "that only reads"])
def test_a_script_without_a_setting_keeps_what_an_app_keeps(keeping: Keeping, publishes: bool) -> None:
    app, script = keeping(history=10_000), keeping()
    if publishes:
        script.append("news", events("first"))
        app.append("news", events("second"))
    publish_many(script)
    assert len(kept(app)) == MANY + 2 * publishes


def test_where_nobody_says_anything_a_thousand_are_kept(keeping: Keeping) -> None:
    broker = keeping()
    publish_many(broker)
    assert 1_000 <= len(kept(broker)) <= 1_125


def test_an_end_keeps_what_was_said_of_its_stream(server: Server, keeping: Keeping, prefix: str) -> None:
    keeping(forget_after=1_000_000, history_age=100).append("news", events("a"))
    keeping(key_age=10).end("news")
    assert server.client.pttl(f"{prefix}:{{news}}:state") > 900_000_000


def test_a_publisher_that_says_something_else_is_told_once(
    keeping: Keeping, caplog: pytest.LogCaptureFixture
) -> None:
    keeping(history=10_000).append("news", events("first"))
    script = keeping(history=50)
    publish_many(script, 300)
    assert 50 <= len(kept(script)) <= 57
    (told,) = [record for record in caplog.records if "from now on" in record.getMessage()]
    assert (told.name, told.levelno) == ("streamy.redis", logging.WARNING)
    assert "keeps 50 entries" in told.getMessage()
    assert "not the 10000" in told.getMessage()


def fill(broker: Broker) -> None:
    """Everything that leaves keys behind."""
    broker.append("news", events("a"))
    broker.append("news", events(*map(str, range(30))), idempotency_key="k")
    broker.append("news", events("b"), idempotency_key="k")
    broker.append("ended", events("a"))
    broker.end("ended")
    broker.end("ended")
    broker.end("ended before it began")
    broker.tail(["nobody"])
    read(broker, "nobody")


def ages(server: Server, prefix: str) -> dict[str, int]:
    """All keys under the prefix, and in how many milliseconds each goes; -1: never."""
    keys = server.client.scan_iter(f"{prefix}:*", 1_000)
    return {key.decode().removeprefix(f"{prefix}:"): server.client.pttl(key) for key in keys}


def test_everything_but_the_epoch_goes_some_day(server: Server, keeping: Keeping, prefix: str) -> None:
    broker = keeping(history=5, history_age=100, forget_after=1_000, key_age=10)
    fill(broker)
    found = ages(server, prefix)
    assert found.pop("epoch") == -1
    limits = {"kept": 1_000_000, "log": 100_000, "state": 1_000_000, "key": 10_000}
    for key, left in found.items():
        most = limits[key.rpartition("}:")[2].partition(":")[0]]
        assert most / 2 < left <= most, key
    assert {key for key in found if ":key:" not in key} == {
        "kept", "{news}:state", "{news}:log", "{ended}:state", "{ended}:log", "{ended before it began}:state",
    }  # fmt: skip


def test_an_idle_prefix_leaves_nothing_but_its_epoch(server: Server, keeping: Keeping, prefix: str) -> None:
    fill(keeping(history_age=0.2, forget_after=0.2, key_age=0.2))
    eventually(lambda: list(ages(server, prefix)) == ["epoch"], "everything else gone")


def test_reading_leaves_nothing_but_an_epoch(server: Server, keeping: Keeping, prefix: str) -> None:
    broker = keeping()
    broker.tail(["nobody"])
    read(broker, "nobody")
    broker.watch().add("nobody")
    assert list(ages(server, prefix)) == ["epoch"]
