"""Every metric moves for the reason that it names, by both deliveries."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import PublishFailed, StreamEnded
from streamy_core.broker import Page
from streamy_core.observers.metrics import METRICS
from streamy_core.strategies import FixedDelay
from streamy_core.strategies.slow_clients import Disconnect, SkipToLatest
from streamy_core.testing.reading import DEADLINE, events, eventually

from ...engine.doubles import FaultyBroker
from .conftest import Staging
from .stage import Stage

BIG = "x" * 500_000


def test_this_file_speaks_of_every_metric() -> None:
    text = Path(__file__).read_text("utf-8")
    assert [metric.name for metric in METRICS if f'"{metric.name}' not in text] == []


class Large(FaultyBroker):
    """Keeps more than sockets take."""

    def __init__(self) -> None:
        super().__init__(Limits(history=1_000, history_bytes=2**28, total_bytes=2**28))


# -- runs


def test_runs_are_counted_while_they_are_held_and_by_their_outcome(stage: Stage) -> None:
    with (
        stage.moves("streamy_runs_started_total", group="job"),
        stage.moves("streamy_runs_ended_total", group="job", outcome="done"),
        stage.moves("streamy_run_duration_seconds_count", outcome="done"),
        stage.sse.run("job:7"),
    ):
        assert stage.value("streamy_runs") == 1
    assert stage.value("streamy_runs") == 0


# -- clients


def test_a_client_is_counted_while_it_is_connected(stage: Stage) -> None:
    with stage.moves("streamy_clients", 1, delivery=stage.delivery):
        client = stage.read("news:1")
    with stage.moves("streamy_clients", -1, delivery=stage.delivery):
        client.close()


def test_it_is_told_where_each_began(stage: Stage) -> None:
    opened, delivery = "streamy_connections_opened_total", stage.delivery
    with stage.moves(opened, began="live", delivery=delivery), stage.read("news:1"):
        pass
    with (
        stage.moves(opened, began="start", delivery=delivery),
        stage.read(path="/from-the-start"),
    ):
        pass
    with (
        stage.moves(opened, began="resumed", delivery=delivery),
        stage.read("news:1", last_event_id=stage.sse.cursor("news:1")),
    ):
        pass


def test_a_client_that_leaves_is_closed_as_gone_and_its_life_is_counted(stage: Stage) -> None:
    delivery = stage.delivery
    with (
        stage.moves("streamy_connections_closed_total", reason="gone", delivery=delivery),
        stage.moves("streamy_connection_duration_seconds_count", delivery=delivery),
        stage.moves("streamy_connection_duration_seconds_bucket", delivery=delivery, le="60.0"),
    ):
        stage.read("news:1").close()
    assert 0 < stage.value("streamy_connection_duration_seconds_sum", delivery=delivery) < 60


def test_a_life_of_an_hour_has_its_bucket() -> None:
    (lives,) = [metric for metric in METRICS if metric.name == "streamy_connection_duration_seconds"]
    assert lives.buckets[-1] == 3_600


def test_each_reason_of_leaving_is_told(stage: Stage) -> None:
    closed = "streamy_connections_closed_total"
    with stage.moves(closed, reason="ended", delivery=stage.delivery), stage.read("news:1") as client:
        stage.sse.end_stream("news:1")
        client.read_to_end()
    with stage.moves(closed, reason="disconnected", delivery=stage.delivery), stage.read("news:2") as client:
        stage.sse.disconnect(stream_id="news:2")
        client.read_to_end()


def test_a_client_beyond_a_limit_is_turned_away_and_was_never_connected(staging: Staging) -> None:
    stage = staging(max_connections=1)
    with (
        stage.read("news:1"),
        stage.moves("streamy_turned_away_total", cause="busy"),
        stage.open("news:1") as client,
    ):
        client.read_to_end()
    eventually(lambda: stage.value("streamy_clients", delivery=stage.delivery) == 0, "it has left")
    assert stage.value("streamy_connections_opened_total", began="live", delivery=stage.delivery) == 1


def test_a_visitor_that_leaves_before_its_time_is_no_client_that_was_closed(staging: Staging) -> None:
    stage = staging(max_connections=1, wsgi_slots=1)
    with stage.read("news:1"), stage.moves("streamy_turned_away_total", cause="busy"):
        stage.open("news:1").reset()
    closed = "streamy_connections_closed_total"
    eventually(lambda: stage.value(closed, delivery=stage.delivery, reason="gone") == 1, "one has gone")
    assert stage.value("streamy_clients", delivery=stage.delivery) == 0


def test_who_has_to_stay_away_is_told_by_its_cause(staging: Staging) -> None:
    stage = staging(max_streams_per_connection=1, max_opens_per_minute=1)
    turned_away = "streamy_turned_away_total"
    with stage.moves(turned_away, cause="streams"):
        stage.open("a:1", "b:1").close()
    with stage.moves(turned_away, cause="opens"):
        for _ in range(2):
            stage.open("a:1", query={"key": "me"}).close()
    with stage.moves(turned_away, cause="expired"):
        stage.open("a:1", query={"until": str(time.time() - 1)}).close()
    with stage.moves(turned_away, cause="origin"):
        stage.open("a:1", headers={"Cookie": "a=1", "Sec-Fetch-Site": "cross-site"}).close()
    first = stage.sse.send_event("a:2", "a")
    stage.sse.end_stream("a:2")
    with stage.read("a:2", last_event_id=first) as client:
        client.read_to_end()
    with stage.moves(turned_away, cause="ended"):
        stage.open("a:2", last_event_id=client.last_event_id).close()
    stage.broker.away.set()
    with stage.moves(turned_away, cause="unavailable"):
        stage.open("a:3").close()
    stage.broker.away.clear()


@pytest.mark.usefixtures("hurried")
def test_a_slow_client_is_told_and_closed_as_such(staging: Staging) -> None:
    stage = staging(broker=Large(), slow_client_policy=Disconnect(seconds=0.2), keep_alive=30)
    with (
        stage.moves("streamy_slow_clients_total"),
        stage.moves("streamy_connections_closed_total", reason="slow", delivery=stage.delivery),
        stage.read("news:1"),
    ):
        for _ in range(40):
            stage.sse.send_event("news:1", BIG)
        closed = "streamy_connections_closed_total"
        eventually(
            lambda: stage.value(closed, reason="slow", delivery=stage.delivery), "the client is cut off"
        )


# -- publishing


def test_what_is_published_is_counted_by_group_and_outcome_with_its_seconds(stage: Stage) -> None:
    events, seconds = "streamy_published_events_total", "streamy_publish_duration_seconds_count"
    with (
        stage.moves(events, 3, group="news", outcome="stored"),
        stage.moves(seconds, 1, group="news", outcome="stored"),
    ):
        stage.sse.send_events("news:1", ["a", "b", "c"])
    with (
        stage.moves(events, 2, group="chat", outcome="stored"),
        stage.moves(events, group="none", outcome="stored"),
    ):
        stage.sse.broadcast(["chat:1", "chat:2", "alone"], "hello")
    stage.sse.end_stream("news:1")
    with stage.moves(events, group="news", outcome="ended"), pytest.raises(StreamEnded):
        stage.sse.send_event("news:1", "late")


def test_what_fails_is_counted_with_its_attempts(stage: Stage) -> None:
    stage.broker.away.set()
    with (
        stage.moves("streamy_published_events_total", group="news", outcome="failed"),
        stage.moves("streamy_publish_retries_total"),
        pytest.raises(PublishFailed),
    ):
        stage.sse.send_event("news:1", "a")
    stage.broker.away.clear()


def test_what_streamy_publishes_for_itself_is_not_counted(stage: Stage) -> None:
    stage.sse.disconnect(key="nobody")
    names = {sample.name for family in stage.registry.collect() for sample in family.samples}
    assert "streamy_published_events_total" not in names


def test_what_waits_in_the_outbox_and_what_is_dropped_is_counted(staging: Staging) -> None:
    stage = staging(outbox_events=1, outbox_retry_policy=FixedDelay(60, retries=1))
    stage.broker.away.set()
    with stage.moves("streamy_outbox_events", 1):
        stage.sse.send_soon("news:1", "a")
    with stage.moves("streamy_outbox_dropped_events_total", reason="full"):
        stage.sse.send_soon("news:1", "b")
    stage.broker.away.clear()


# -- delivering


@pytest.mark.parametrize("streams", [("news:1",), ("news:1", "chat:1")], ids=["one stream", "several"])
def test_each_event_is_counted_as_delivered_once_for_each_client(
    stage: Stage, streams: tuple[str, ...]
) -> None:
    clients = [stage.read(*streams) for _ in range(3)]
    delivery = stage.delivery
    sizes = "streamy_delivered_bytes_total"
    before = stage.value(sizes, delivery=delivery)
    with stage.moves("streamy_delivered_events_total", 3 * 4 * len(streams), delivery=delivery):
        for name in streams * 2:
            stage.sse.send_events(name, ["a", "b"])
        for client in clients:
            client.read(4 * len(streams))
    assert stage.value(sizes, delivery=delivery) - before >= 3 * 4 * len(streams) * len("data: a\n\n")
    for client in clients:
        client.close()


def test_neither_the_opening_nor_keep_alives_gaps_or_ends_are_events(stage: Stage) -> None:
    first = stage.sse.send_event("news:1", "0")
    stage.sse.send_events("news:1", [str(number) for number in range(1, 8)])  # of which 5 are kept
    with (
        stage.moves("streamy_delivered_events_total", 5, delivery=stage.delivery),
        stage.moves("streamy_gaps_total", cause="trimmed"),
        stage.read("news:1", last_event_id=first) as client,
    ):
        client.read(6)
        client.until(lambda: client.comments, "a keep-alive")
        stage.sse.end_stream("news:1")
        client.read_to_end()


@pytest.mark.usefixtures("hurried")
def test_a_skip_is_a_gap_and_what_is_left_is_delivered() -> None:
    with (
        Stage("detached", Large(), slow_client_policy=SkipToLatest(entries=5), keep_alive=30) as stage,
        stage.read("news:1") as client,
    ):
        for number in range(40):
            stage.sse.send_event("news:1", f"{number} {BIG}")
        stage.sse.send_event("news:1", "last")
        eventually(lambda: stage.value("streamy_slow_clients_total"), "it is slow")
        client.until(lambda: client.messages and client.messages[-1].data == "last", "the last event")
        names = Counter(message.name for message in client.messages)
        assert stage.value("streamy_gaps_total", cause="skipped") == names["streamy.gap"] > 0
        assert stage.value("streamy_delivered_events_total", delivery="detached") == names["message"]


# -- reading


def test_watched_streams_are_counted_while_somebody_reads_them(stage: Stage) -> None:
    with stage.moves("streamy_watched_streams", 2):
        client = stage.read("news:1", "news:2")
    with stage.moves("streamy_watched_streams", -2):
        client.close()


def test_failed_reads_and_that_they_fail_are_told(stage: Stage) -> None:
    with stage.read("news:1") as client:
        with stage.moves("streamy_reads_failing", 1):
            stage.broker.away.set()
            MemoryBroker.append(stage.broker, "news:1", events("a"))  # its bell rings all the same
        assert stage.value("streamy_read_failures_total") >= 1
        with stage.moves("streamy_reads_failing", -1):
            stage.broker.away.clear()
        assert client.read(1)


@pytest.mark.usefixtures("hurried")
def test_a_missed_bell_is_counted(staging: Staging) -> None:
    stage = staging(watchdog_interval=0.05)
    with stage.read("news:1") as client:
        stage.sse.send_event("news:1", "a")
        client.read(1)
        with stage.moves("streamy_missed_bells_total"):
            stage.broker.deaf = True
            stage.sse.send_event("news:1", "b")
            client.read(2)


def test_a_canary_that_comes_back_is_counted_by_how_late_it_was(stage: Stage) -> None:
    with (
        stage.moves("streamy_bell_seconds_bucket", 0, le="0.1"),
        stage.moves("streamy_bell_seconds_bucket", 1, le="0.25"),
    ):
        stage.sse.binding._observer.bell_heard(0.2)
    assert time.time() - 5 < stage.value("streamy_bell_heard_timestamp_seconds") <= time.time()


class Damaged(FaultyBroker):
    """Gives nothing of one stream, not even an empty page."""

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        pages = super().read(cursors, limit, max_bytes)
        return {name: page for name, page in pages.items() if name != "bad:1"}


def test_what_is_damaged_is_counted(staging: Staging) -> None:
    stage = staging(broker=Damaged())
    with stage.moves("streamy_damaged_entries_total"), stage.read("bad:1", last_event_id="anything"):
        pass


class Gated(FaultyBroker):
    """Has those who catch up wait."""

    def __init__(self) -> None:
        super().__init__(Limits(history=1_000))
        self.gate = threading.Event()

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        if threading.current_thread().name.startswith("streamy-replayer"):
            assert self.gate.wait(DEADLINE)
        return super().read(cursors, limit, max_bytes)


def test_replays_are_counted_while_they_run_or_wait_and_are_misses_of_windows(staging: Staging) -> None:
    broker = Gated()
    stage = staging(broker=broker)
    stage.sse.send_events("news:1", [str(number) for number in range(250)])
    delivered = "streamy_delivered_events_total"
    with stage.moves(delivered, 3 * 250, delivery=stage.delivery), ExitStack() as stack:
        stack.callback(broker.gate.set)
        with (
            stage.moves("streamy_replays", 2, state="running"),
            stage.moves("streamy_replays", 1, state="waiting"),
        ):
            clients = [stack.enter_context(stage.read(path="/from-the-start")) for _ in range(3)]
        assert stage.value("streamy_window_lookups_total", result="miss") >= 3
        broker.gate.set()
        for client in clients:
            client.read(250)
    for state in ("running", "waiting"):
        assert stage.value("streamy_replays", state=state) == 0


def test_what_a_window_holds_is_a_hit(stage: Stage) -> None:
    with stage.read("news:1") as client:
        stage.sse.send_event("news:1", "a")
        client.read(1)
        misses = stage.value("streamy_window_lookups_total", result="miss")
        with stage.moves("streamy_window_lookups_total", result="hit"):
            stage.sse.send_event("news:1", "b")
            client.read(2)
        assert stage.value("streamy_window_lookups_total", result="miss") == misses


@pytest.mark.slow
def test_a_loop_that_comes_late_says_how_late() -> None:
    with Stage("detached") as stage, stage.read("news:1"):
        lags = "streamy_loop_lag_seconds_bucket"
        eventually(lambda: stage.value(lags, le="+Inf"), "a look while nothing held it up")
        held_up = threading.Event()

        def hold_up() -> bool:
            time.sleep(1.3)
            held_up.set()
            return True

        punctual = stage.value(lags, le="0.25")
        loop = stage.sse.binding.delivery._detached._loop
        assert loop is not None
        loop._call(hold_up)
        eventually(held_up.is_set, "it was held up")
        eventually(
            lambda: stage.value(lags, le="+Inf") - stage.value(lags, le="0.25") >= 1, "that it was late"
        )
        assert stage.value(lags, le="0.25") >= punctual
