"""The loop serves real sockets: clients at one position as one group, slow ones each by itself."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest

from streamy_core import OLDEST
from streamy_core.delivery.detached.client import Client
from streamy_core.delivery.detached.loop import Loop
from streamy_core.engine.window import WindowLimits
from streamy_core.observers import ClientInfo, DisconnectReason
from streamy_core.strategies import FixedInterval
from streamy_core.strategies.slow_clients import (
    Disconnect,
    Lag,
    SkipToLatest,
    Verdict,
)
from streamy_core.testing.reading import DEADLINE, events, eventually, tail

from ...engine.doubles import FaultyBroker
from .house import House, Visitor


def test_a_loop_that_stands_still_says_for_how_long_and_that_it_turns_again(
    house: House, broker: FaultyBroker
) -> None:
    house.loop.stuck_for()
    eventually(lambda: house.loop._pulse.at_rest, "it has turned")
    held, over = threading.Event(), threading.Event()

    def hold(client: ClientInfo) -> None:
        held.set()
        over.wait(DEADLINE)

    house.on_connect = hold
    house.enter()
    assert held.wait(DEADLINE)
    house.loop.stuck_for()
    eventually(lambda: house.loop.stuck_for() > 0.05, "it stands still")
    over.set()
    eventually(lambda: house.loop.stuck_for() < 0.05, "it turns again")


def test_every_client_gets_every_event_in_order(house: House, broker: FaultyBroker) -> None:
    visitors = [house.visit() for _ in range(20)]
    for n in range(100):
        broker.append("news", events(str(n)))
    for visitor in visitors:
        assert visitor.data(100) == [str(n) for n in range(100)]


def test_clients_of_several_streams_get_them_all(house: House, broker: FaultyBroker) -> None:
    visitors = [house.visit("a", "b"), house.visit("b"), house.visit("a", "b")]
    broker.append("a", events("1"))
    broker.append("b", events("2"))
    assert sorted(visitors[0].data(2)) == ["1", "2"]
    assert visitors[1].data(1) == ["2"]
    assert sorted(visitors[2].data(2)) == ["1", "2"]


def test_a_long_replay_and_what_comes_meanwhile_are_one_stream(
    make_house: Callable[..., House], broker: FaultyBroker
) -> None:
    house = make_house(window=WindowLimits(entries=10))
    (first, *_) = broker.append("news", events(*map(str, range(1500))))
    level = house.visit()
    replayed = house.visit(after=first)
    broker.append("news", events(*map(str, range(1500, 2000))))
    assert replayed.data(1999) == [str(n) for n in range(1, 2000)]
    assert level.data(500) == [str(n) for n in range(1500, 2000)]


def test_a_long_replay_makes_nobody_else_wait(house: House, broker: FaultyBroker) -> None:
    broker.append("long", events(*["x" * 1_000] * 10_000))
    other = house.visit("other")
    eventually(lambda: house.hub.health.streams == 1, "there is a group")
    broker.reads.clear()
    replaying = house.visit("long", after=OLDEST)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(replaying.count, b"data: x", 10_000)
        broker.append("other", events("now"))
        assert other.data(1) == ["now"]
        pages = sum("long" in cursors for cursors in broker.reads)
        reading.result(3 * DEADLINE)
    assert pages < sum("long" in cursors for cursors in broker.reads) / 2


def test_a_client_that_reads_slowly_loses_nothing(house: House, broker: FaultyBroker) -> None:
    slow, quick = house.visit(buffers=4096), house.visit()
    big = ["x" * 10_000 + str(n) for n in range(200)]
    for text in big:
        broker.append("news", events(text))
    assert quick.data(200) == big
    assert slow.data(200) == big
    broker.append("news", events("level again"))
    assert slow.data(1) == quick.data(1) == ["level again"]


def is_one_group(house: House, broker: FaultyBroker, visitors: list[Visitor]) -> bool:
    """Whether the next event goes to all of these at once."""
    house.delivered.clear()
    broker.append("news", events("x"))
    for visitor in visitors:
        assert visitor.data(1) == ["x"]
    return house.delivered == [len(visitors)]


def test_clients_at_one_position_are_sent_the_same_bytes_at_once(house: House, broker: FaultyBroker) -> None:
    visitors = [house.visit() for _ in range(20)]
    eventually(lambda: is_one_group(house, broker, visitors), "all are one group")


def test_a_client_that_was_slow_joins_the_others_when_it_is_level_again(
    house: House, broker: FaultyBroker
) -> None:
    slow, quick = house.visit(buffers=4096), house.visit()
    eventually(lambda: is_one_group(house, broker, [slow, quick]), "both are one group")
    big = ["x" * 10_000 + str(n) for n in range(50)]
    for text in big:
        broker.append("news", events(text))
    assert quick.data(50) == slow.data(50) == big
    eventually(lambda: is_one_group(house, broker, [slow, quick]), "both are one group again")


def test_who_comes_while_a_lone_client_takes_nothing_is_no_part_of_its_bytes(
    house: House, broker: FaultyBroker
) -> None:
    slow = house.visit(buffers=4096)
    big = "x" * 1_000_000
    broker.append("news", events(big))
    eventually(lambda: house.delivered[-1:] == [1] and len(house.delivered) > 1, "it has been sent to")
    late = house.visit()  # from now on: where the slow one will be
    broker.append("news", events("next"))
    assert late.data(1) == ["next"]
    assert slow.data(2) == [big, "next"]


def test_clients_of_other_streams_names_and_framings_are_other_groups(
    house: House, broker: FaultyBroker
) -> None:
    one, two, both = house.visit("a"), house.visit("b"), house.visit("a", "b")
    house.delivered.clear()
    broker.append("a", events("1"))
    assert one.data(1) == both.data(1) == ["1"]
    broker.append("b", events("2"))
    assert two.data(1) == both.data(1) == ["2"]
    eventually(lambda: house.delivered == [1] * 4, "each chunk has been told of")


@pytest.mark.slow
def test_a_client_that_never_reads_is_closed(make_house: Callable[..., House], broker: FaultyBroker) -> None:
    house = make_house(Disconnect(seconds=0.5))
    house.visit(buffers=4096, key="deaf")
    quick = house.visit(key="quick")
    for _ in range(100):
        broker.append("news", events("x" * 50_000))
        quick.data(1)
    eventually(lambda: house.gone == [("deaf", "slow")], "the client that takes nothing is gone")
    assert house.slow[0].bytes > 0


@pytest.mark.usefixtures("hurried")
def test_a_dashboard_that_lags_skips_to_the_newest_and_is_told(
    make_house: Callable[..., House], broker: FaultyBroker
) -> None:
    house = make_house(SkipToLatest(entries=5))
    slow = house.visit(buffers=4096)
    for n in range(300):
        broker.append("news", events("x" * 10_000 + str(n)))
    eventually(lambda: house.slow, "the policy has decided against the slow client")
    rest = slow.read_until(b"event: streamy.gap\n") + slow.read_until(b"x299\n\n")
    assert rest.count(b"streamy.gap") == 1
    assert rest.count(b"data: x") < 300


def test_policies_wait_for_clients_that_are_not_behind_by_much() -> None:
    lag = Lag(entries=5, bytes=10, stalled=1)
    assert Disconnect(entries=5).decide(lag) is Verdict.WAIT
    assert Disconnect(entries=4).decide(lag) is Verdict.DISCONNECT
    assert Disconnect(seconds=0.5).decide(lag) is Verdict.DISCONNECT
    assert SkipToLatest(entries=4).decide(lag) is Verdict.SKIP
    assert SkipToLatest(entries=5).decide(lag) is Verdict.WAIT
    assert SkipToLatest(seconds=0.5).decide(lag) is Verdict.DISCONNECT
    assert SkipToLatest().decide(Lag(None, 10, 1)) is Verdict.SKIP


def test_an_idle_client_gets_keep_alives_in_time(house: House) -> None:
    visitor = house.visit(keep_alive=FixedInterval(0.05))
    for _ in range(3):
        visitor.read_until(b": keep-alive\n\n")


def test_a_client_that_leaves_is_forgotten_at_once(house: House) -> None:
    visitor = house.visit(key="u")
    visitor.read_until(b"\n\n")
    visitor.sock.close()
    eventually(lambda: house.gone == [("u", "gone")], "the loop has noticed")
    eventually(lambda: house.hub.health.streams == 0, "nothing is watched any more")


def test_of_a_client_that_has_left_nothing_is_kept(house: House, broker: FaultyBroker) -> None:
    stayer, leaver = house.visit(), house.visit(key="leaver")
    broker.append("news", events("a"))
    assert stayer.data(1) == leaver.data(1) == ["a"]
    leaver.sock.close()
    eventually(lambda: len(house.gone) == 1, "the loop has noticed")
    eventually(
        lambda: (
            not any(isinstance(kept, Client) and kept.session.key == "leaver" for kept in gc.get_objects())
        ),
        "nobody holds on to it",
    )


def test_what_a_client_says_is_ignored(house: House, broker: FaultyBroker) -> None:
    visitor = house.visit()
    visitor.sock.sendall(b"chatter" * 1000)
    broker.append("news", events("a"))
    assert visitor.data(1) == ["a"]


def test_the_end_is_told_and_closes_the_connection(house: House, broker: FaultyBroker) -> None:
    visitor = house.visit(key="u")
    broker.append("news", events("a"))
    broker.end("news")
    rest = visitor.read_to_the_close()
    assert rest.endswith(b'event: streamy.end\ndata: {"stream": "news"}\n\nretry: 99\n\n')
    assert b"data: a\n" in rest
    eventually(lambda: house.gone == [("u", "ended")], "the loop has let go")


def test_a_client_that_is_too_old_is_told_to_come_back(house: House) -> None:
    visitor = house.visit(age=0.05, key="u")
    assert visitor.read_to_the_close().endswith(b"retry: 99\n\n")
    eventually(lambda: house.gone == [("u", "expired")], "the loop has let go")


def test_some_clients_can_be_sent_away_and_others_stay(house: House, broker: FaultyBroker) -> None:
    ann, bob = house.visit(key="ann"), house.visit(key="bob")
    house.loop.disconnect(lambda session: session.key == "ann", DisconnectReason.DISCONNECTED)
    assert ann.read_to_the_close().endswith(b"retry: 99\n\n")
    broker.append("news", events("a"))
    assert bob.data(1) == ["a"]


def test_shutdown_gives_each_client_what_is_due_and_a_time_to_come_back(
    house: House, broker: FaultyBroker
) -> None:
    visitors = [house.visit() for _ in range(50)]
    for visitor in visitors:
        visitor.read_until(b"\n\n")
    broker.append("news", events("last words"))
    visitors[0].read_until(b"last words\n\n")
    house.loop.shutdown(DEADLINE)
    for visitor in visitors[1:]:
        assert visitor.read_to_the_close().endswith(b"data: last words\n\nretry: 99\n\n")
    assert len(house.gone) == 50


def test_who_has_only_just_come_gets_what_is_due_before_a_shutdown(
    house: House, broker: FaultyBroker
) -> None:
    cursor = tail(broker, "news")
    staying = house.visit()
    broker.append("news", events(*map(str, range(50))))
    assert len(staying.data(50)) == 50
    with Doors(house, "late") as doors:
        late = house.enter(after=cursor, key="late")
        doors.wait_for("late")
        with ThreadPoolExecutor(1) as pool:
            over = pool.submit(house.loop.shutdown, DEADLINE)
            doors.open("late")
            over.result(DEADLINE)
    assert late.read_to_the_close().count(b"data: ") == 1 + 50, "the opening, and what was due"


def test_a_command_reaches_clients_that_wait_to_be_taken_care_of(house: House) -> None:
    with Doors(house, "first") as doors:
        house.enter(key="first")
        doors.wait_for("first")
        waiting = [house.enter(key="ann") for _ in range(300)]
        house.loop.disconnect(lambda session: session.key == "ann", DisconnectReason.DISCONNECTED)
        doors.open("first")
        for visitor in waiting:
            assert visitor.read_to_the_close().endswith(b"retry: 99\n\n")


def test_a_client_that_was_catching_up_in_an_outage_goes_on_by_itself(
    make_house: Callable[..., House], broker: FaultyBroker, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house(window=WindowLimits(entries=10))
    data = [f"{n:010000}" for n in range(500)]
    (first, *_) = broker.append("news", events(*data))
    visitor = house.visit(after=first, buffers=4096)
    broker.away.set()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(visitor.data, 499)
        eventually(lambda: "reading failed" in caplog.text, "the outage has been met")
        broker.away.clear()
        assert reading.result() == data[1:]


def test_who_comes_when_the_process_is_about_to_stop_is_told_to_come_back_and_nothing_is_logged(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.hub.stop()
    late = house.visit(key="late")
    late.read_until(b"\n\n")
    house.loop.shutdown(DEADLINE)
    assert late.read_to_the_close().endswith(b"retry: 99\n\n")
    assert house.gone == [("late", "shutdown")]
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


class BrokenPolicy:
    def decide(self, lag: Lag) -> Verdict:
        raise ZeroDivisionError("a bug")


@pytest.mark.usefixtures("hurried")
def test_an_error_in_a_users_policy_harms_nobody(
    make_house: Callable[..., House], broker: FaultyBroker, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house(BrokenPolicy())
    slow, quick = house.visit(buffers=4096), house.visit()
    for _ in range(20):
        broker.append("news", events("x" * 50_000))
        quick.data(1)
    eventually(lambda: "policy" in caplog.text, "the error has been logged")
    assert len(slow.data(20)) == 20


def test_an_error_in_the_loop_does_not_stop_it(
    make_house: Callable[..., House],
    broker: FaultyBroker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    disconnect = Loop._disconnect
    monkeypatch.setattr(Loop, "_disconnect", lambda *args, **named: 1 / 0)
    house = make_house()
    house.visit(age=0.01)
    eventually(lambda: "goes on after an error" in caplog.text, "the error has been logged")
    monkeypatch.setattr(Loop, "_disconnect", disconnect)
    visitor = house.visit()
    broker.append("news", events("a"))
    assert visitor.data(1) == ["a"]


def test_who_joins_while_a_group_catches_up_gets_nothing_that_it_had(
    make_house: Callable[..., House], broker: FaultyBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(window=WindowLimits(entries=1))
    caught_up, go_on = threading.Event(), threading.Event()
    run = house.replayer.run

    def run_and_hold(action: Callable[[], bytes], *rest: Any) -> None:
        def act() -> bytes:
            data = action()
            if b"data: 5" in data and not caught_up.is_set():
                caught_up.set()
                assert go_on.wait(DEADLINE)
            return data

        run(act, *rest)

    monkeypatch.setattr(house.replayer, "run", run_and_hold)
    early = house.visit()
    early.read_until(b"\n\n")
    broker.append("news", events("1", "2", "3", "4", "5"))
    assert caught_up.wait(DEADLINE)
    late = house.visit()  # from now on
    late.read_until(b"\n\n")
    go_on.set()
    assert early.data(5) == ["1", "2", "3", "4", "5"]
    broker.append("news", events("6"))
    assert late.data(1) == ["6"]
    assert early.data(1) == ["6"]


def test_a_newcomer_that_its_group_leaps_over_goes_on_by_itself(house: House, broker: FaultyBroker) -> None:
    start = tail(broker, "news")
    house.visit()
    eventually(lambda: house.hub.health.streams == 1, "there is a group")
    with Doors(house, "first", "leapt over", "last") as doors:
        first, leapt_over, last = (house.enter(key=key) for key in doors.names)
        doors.open("first")  # the others come in one turn of the loop, before the group has its own
        for number, name in enumerate(("leapt over", "last"), 1):
            doors.wait_for(name)
            broker.append("news", events(str(number)))
            eventually(lambda: house.hub.distance("news", start) == number, "the hub has read")  # noqa: B023
            doors.open(name)
        for visitor in (first, leapt_over, last):
            assert visitor.data(2) == ["1", "2"]


class Doors:
    """Each stops the loop when the client with its name comes, until it is opened."""

    def __init__(self, house: House, *names: str) -> None:
        self.names = names
        self._reached = {name: threading.Event() for name in names}
        self._opened = {name: threading.Event() for name in names}
        house.on_connect = self._pass

    def _pass(self, client: ClientInfo) -> None:
        if client.key in self.names:
            self._reached[client.key].set()
            assert self._opened[client.key].wait(DEADLINE)

    def wait_for(self, name: str) -> None:
        assert self._reached[name].wait(DEADLINE)

    def open(self, name: str) -> None:
        self._opened[name].set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._opened.values():
            opened.set()


class OddScheduler:
    """Not hashable, and says what it is told to say; an error is raised."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, due: float | Exception) -> None:
        self.due = due

    def due_in(self, idle: float) -> float | None:
        if isinstance(self.due, Exception):
            raise self.due
        return self.due


@pytest.mark.parametrize(
    "due", [0.0, -1.0, 1e-9, 1e300, float("inf"), float("nan"), ZeroDivisionError("a bug")], ids=repr
)
def test_an_odd_keep_alive_scheduler_harms_nobody(
    house: House, broker: FaultyBroker, due: float | Exception
) -> None:
    odd, plain = house.visit(keep_alive=OddScheduler(due)), house.visit()
    broker.append("news", events("a"))
    assert odd.data(1) == plain.data(1) == ["a"]


@pytest.mark.slow
def test_a_policy_is_asked_once_a_second_however_often_clients_fall_behind(
    make_house: Callable[..., House], broker: FaultyBroker
) -> None:
    asked: list[Lag] = []

    class Counting:
        def decide(self, lag: Lag) -> Verdict:
            asked.append(lag)
            return Verdict.WAIT

    house = make_house(Counting())
    slow = house.visit(buffers=4096)
    for _ in range(10):  # falls behind, and gets level, again and again
        broker.append("news", events("x" * 300_000))
        slow.data(1)
    broker.append("news", events(*["x" * 300_000] * 5))
    eventually(lambda: len(asked) >= 2, "the policy has been asked twice")
    assert asked[1].stalled - asked[0].stalled > 0.5
