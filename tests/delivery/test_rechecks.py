"""Rights are looked at again while clients stay: when, for whom, and what comes of it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from streamy_core.config import Settings
from streamy_core.delivery.questions import Recheck
from streamy_core.delivery.rechecks import Rechecks
from streamy_core.delivery.session import Session
from streamy_core.errors import Closed
from streamy_core.strategies import Never
from streamy_core.testing import ManualClock
from streamy_core.testing.reading import DEADLINE, eventually

from ..support.making import closed_in_the_end

EVERY = 15.0
TIMEOUT = 5.0


class House:
    """Rechecks of clients that only note what is taken from them."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.leaving: list[int] = []
        self.rechecks = Rechecks(Settings(clock=self.clock, **settings), self.leaving.append)
        self.lost: dict[str | None, set[str]] = {}
        self.asked: list[str | None] = []
        self.allowed: dict[str | None, Any] = {}
        self.recheck = self.asking(self.may)

    def may(self, key: str | None, streams: tuple[str, ...]) -> Any:
        self.asked.append(key)
        found = self.allowed.get(key, True)
        if isinstance(found, Exception):
            raise found
        return found

    @staticmethod
    def asking(call: Callable[..., Any], *, many: bool = False) -> Recheck:
        return Recheck(call, many=many, around=nullcontext)

    def come(self, key: str | None, *streams: str, recheck: Recheck | None = None) -> Session:
        session = Session(streams or ("news",), key, Never(), recheck=recheck or self.recheck)
        self.rechecks.add(session, self.lost.setdefault(key, set()).update)
        return session

    def go_by(self, seconds: float = EVERY) -> None:
        """Let the time go by, when all is quiet."""
        eventually(lambda: self.rechecks._asker.due_at() is None, "all answers are there")
        self.clock.advance(seconds)

    def asked_again(self, times: int) -> None:
        eventually(lambda: len(self.asked) == times, f"asked {times} times")
        eventually(lambda: self.rechecks._asker.due_at() is None, "all answers are there")

    def holds(self, session: Session) -> threading.Event | None:
        """What is set when a client's backlog may go out; None: at once."""
        released = threading.Event()
        return released if self.rechecks.hold(session, released.set) else None

    def close(self) -> None:
        self.rechecks.close()


@pytest.fixture
def make_house() -> Iterator[Callable[..., House]]:
    with closed_in_the_end(House) as make:
        yield make
    eventually(lambda: not of_rechecks(), "their threads end")


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()


def of_rechecks() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "streamy-rechecks"]


def test_everybody_is_asked_about_again_and_again_but_not_before_it_is_time(house: House) -> None:
    house.come("ann")
    house.come("bob")
    house.go_by(EVERY * 0.97)
    assert house.asked == []
    house.go_by(EVERY * 0.03)
    house.asked_again(2)
    house.go_by()
    house.asked_again(4)
    assert sorted(map(str, house.asked)) == ["ann", "ann", "bob", "bob"]
    assert house.lost == {"ann": set(), "bob": set()}


def test_who_has_lost_the_right_loses_the_streams_and_nobody_else_does(house: House) -> None:
    house.come("ann", "a", "b")
    house.come("bob", "a", "b")
    house.come("cid", "a", "b")
    house.allowed = {"ann": False, "bob": ["b", "c"]}
    house.go_by()
    eventually(lambda: house.lost == {"ann": {"a", "b"}, "bob": {"a"}, "cid": set()}, "taken away")
    assert house.leaving == [1]


def test_clients_of_one_key_and_the_same_streams_are_asked_about_once(house: House) -> None:
    for _ in range(10):
        house.come("ann")
    house.come("ann", "other")
    house.go_by()
    house.asked_again(2)


def test_all_clients_are_one_call_to_one_that_answers_for_many(house: House) -> None:
    calls: list[int] = []

    def may(questions: list[Any]) -> list[Any]:
        calls.append(len(questions))
        return [key != "7" for key, _ in questions]

    for number in range(1_000):
        house.come(str(number), recheck=house.asking(may, many=True))
    house.go_by()
    eventually(lambda: house.lost["7"], "it is taken away")
    assert calls == [1_000]
    assert [key for key, lost in house.lost.items() if lost] == ["7"]


def test_who_arrives_while_the_answer_is_on_its_way_is_meant_by_it(house: House) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def may(key: str | None, streams: tuple[str, ...]) -> bool:
        begun.set()
        go_on.wait(DEADLINE)
        return False

    recheck = house.asking(may)
    house.come("ann", recheck=recheck)
    house.go_by()
    assert begun.wait(DEADLINE)
    late = Session(("news",), "ann", Never(), recheck=recheck)
    lost: list[frozenset[str]] = []
    house.rechecks.add(late, lost.append)
    go_on.set()
    eventually(lambda: lost == [{"news"}], "taken away")


@pytest.mark.parametrize("given", [None, "news", ZeroDivisionError("by whatever")])
def test_no_answer_closes_and_says_so_once(
    house: House, given: object, caplog: pytest.LogCaptureFixture
) -> None:
    house.come("ann")
    house.allowed = {"ann": given}
    for times in range(1, 4):
        house.go_by()
        house.asked_again(times)
    eventually(lambda: house.lost["ann"] == {"news"}, "taken away")
    (record,) = [record for record in caplog.records if record.name == "streamy.delivery"]
    assert record.levelname == "ERROR"
    assert "House.may failed: it " in record.getMessage()
    assert "are disconnected" in record.getMessage()


def test_it_is_said_again_when_it_had_worked_for_long(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.come("ann")
    house.come("bob")  # who loses nothing
    for times, given in enumerate([None, *[True] * 21, None], 1):
        house.allowed = {"ann": given}
        house.go_by()
        house.asked_again(2 * times)
    eventually(lambda: len(caplog.records) == 2, "said twice")


def test_no_answer_in_time_closes(house: House, caplog: pytest.LogCaptureFixture) -> None:
    hanging, begun = threading.Event(), threading.Event()

    def hang(key: str | None, streams: tuple[str, ...]) -> bool:
        begun.set()
        return hanging.wait()

    house.come("ann", recheck=house.asking(hang))
    house.come("bob")
    house.go_by()
    assert begun.wait(DEADLINE)
    eventually(lambda: house.asked == ["bob"], "others are asked about meanwhile")
    eventually(lambda: len(house.rechecks._asker._calls) == 1, "and answered")
    assert house.lost["ann"] == set()
    house.clock.advance(TIMEOUT)
    eventually(lambda: house.lost["ann"] == {"news"}, "taken away")
    assert house.lost["bob"] == set()
    assert "took longer than 5 s" in caplog.text
    hanging.set()


def test_it_is_said_once_if_not_everybody_can_be_asked_about_in_time(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    slow = threading.Event()
    recheck = house.asking(lambda key, streams: slow.wait(DEADLINE))
    for number in range(20):
        house.come(str(number), recheck=recheck)
    for _ in range(2):
        house.clock.advance(EVERY)
        eventually(lambda: house.rechecks._next_round > house.clock(), "asked")
        eventually(lambda: house.rechecks._asker.waiting(recheck), "they wait")
    slow.set()
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "STREAMY_RECHECK_MANY" in record.getMessage()


def test_what_is_closed_is_no_news(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.come("ann")
    house.allowed = {"ann": Closed("the app is gone")}
    house.go_by()
    eventually(lambda: house.lost["ann"], "taken away")
    assert not caplog.records


def test_where_the_setting_says_so_no_answer_closes_nobody(
    make_house: Callable[..., House], caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house(recheck_failure="keep")
    house.come("ann")
    house.allowed = {"ann": ZeroDivisionError("by whatever")}
    house.go_by()
    eventually(lambda: "go on reading" in caplog.text, "said")
    assert house.lost == {"ann": set()}
    house.allowed = {"ann": False}
    house.go_by()
    eventually(lambda: house.lost == {"ann": {"news"}}, "a no is a no")


def test_nothing_runs_while_nobody_has_a_check(house: House) -> None:
    house.rechecks.add(Session(("news",), "ann", Never()), lambda lost: None)
    assert not of_rechecks()
    session = house.come("ann")
    assert of_rechecks()
    house.rechecks.discard(session)
    house.go_by()
    eventually(lambda: not of_rechecks(), "its thread ends")
    house.come("bob")
    house.go_by()
    eventually(lambda: house.asked == ["bob"], "it begins again")


def test_who_has_gone_is_held_on_to_by_nobody(house: House) -> None:
    session = house.come("leaver")
    house.go_by()
    house.asked_again(1)
    house.rechecks.discard(session)
    del session
    assert not [kept for kept in gc.get_objects() if isinstance(kept, Session) and kept.key == "leaver"]


def test_a_close_ends_its_thread_and_asks_no_more(house: House) -> None:
    house.come("ann")
    house.rechecks.close()
    eventually(lambda: not of_rechecks(), "its thread ends")
    house.come("bob")
    assert not of_rechecks()
    assert house.asked == []


def test_what_lies_back_waits_for_an_answer_if_there_was_none_lately(house: House) -> None:
    session = house.come("ann")
    released = house.holds(session)
    assert released is not None
    assert released.wait(DEADLINE)
    assert house.asked == ["ann"]
    assert house.holds(session) is None, "there is one now"
    house.rechecks.discard(session)
    house.clock.advance(EVERY)
    again = house.holds(house.come("ann"))
    assert again is not None
    assert again.wait(DEADLINE)


def test_an_answer_about_others_streams_or_clients_is_none(house: House) -> None:
    house.come("ann", "a")
    house.go_by()
    house.asked_again(1)
    assert house.holds(house.come("ann", "a")) is None
    assert house.holds(house.come("ann", "a", "b")) is not None
    assert house.holds(house.come("bob", "a")) is not None


def test_a_no_is_newer_than_the_yes_before_it(house: House) -> None:
    session = house.come("ann")
    house.go_by()
    house.asked_again(1)
    house.allowed = {"ann": False}
    house.go_by(0.98 * EVERY)
    eventually(lambda: house.lost == {"ann": {"news"}}, "taken away")
    assert house.holds(session) is not None


def comes_and_is_given_up(house: House, recheck: Recheck, begun: threading.Event) -> None:
    """A client about whom the question takes too long, and who is gone then. begun: set by the question."""
    client = house.come("ann", recheck=recheck)
    house.clock.advance(EVERY)
    assert begun.wait(DEADLINE)
    house.clock.advance(TIMEOUT)
    eventually(lambda: house.lost["ann"], "it has failed")
    house.rechecks.discard(client)


@pytest.mark.parametrize("late", [True, False])
def test_an_answer_that_comes_too_late_says_nothing_about_who_has_come_since(
    house: House, late: bool
) -> None:
    begun, go_on, answers = threading.Event(), threading.Event(), [late]

    def may(key: str | None, streams: tuple[str, ...]) -> bool:
        if not answers:
            return True
        answer = answers.pop()
        begun.set()
        go_on.wait(DEADLINE)
        return answer

    recheck = house.asking(may)
    comes_and_is_given_up(house, recheck, begun)
    house.lost.clear()
    house.clock.advance(EVERY)
    released = house.holds(house.come("ann", recheck=recheck))
    assert released is not None
    assert released.wait(DEADLINE)
    go_on.set()
    eventually(lambda: not house.rechecks._asker._calls, "the late answer is there")
    house.go_by(EVERY)
    eventually(lambda: house.rechecks._next_round > house.clock(), "all answers have been looked at")
    assert house.lost == {"ann": set()}


def test_who_waits_for_an_answer_isn_t_let_through_by_one_of_long_ago(house: House) -> None:
    begun, go_on, again = threading.Event(), threading.Event(), threading.Event()
    calls = 0

    def may(key: str | None, streams: tuple[str, ...]) -> bool:
        nonlocal calls
        calls += 1
        begun.set()
        (go_on if calls == 1 else again).wait(DEADLINE)
        return True

    recheck = house.asking(may)
    comes_and_is_given_up(house, recheck, begun)
    house.clock.advance(EVERY)
    released = house.holds(house.come("ann", recheck=recheck))
    assert released is not None
    eventually(lambda: calls > 1, "asked again")
    go_on.set()
    eventually(lambda: not any(call.overdue for call in house.rechecks._asker._calls), "the late answer")
    assert not released.wait(0.05)
    again.set()
    assert released.wait(DEADLINE)


@pytest.mark.parametrize("given", [False, None])
def test_what_is_lost_is_taken_away_before_the_rest_goes_out(house: House, given: object) -> None:
    house.allowed = {"ann": given}
    session = house.come("ann")
    seen: list[set[str]] = []
    assert house.rechecks.hold(session, lambda: seen.append(set(house.lost["ann"])))
    eventually(lambda: seen == [{"news"}], "released")
    assert house.holds(session) is not None, "a no isn't remembered as a yes"


def test_many_that_arrive_during_a_call_are_asked_about_by_the_next(house: House) -> None:
    calls: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def may(questions: list[Any]) -> list[bool]:
        calls.append(len(questions))
        begun.set()
        go_on.wait(DEADLINE)
        return [True] * len(questions)

    recheck = house.asking(may, many=True)
    first = house.holds(house.come("first", recheck=recheck))
    assert begun.wait(DEADLINE)
    others = [house.holds(house.come(str(number), recheck=recheck)) for number in range(100)]
    go_on.set()
    assert all(event is not None and event.wait(DEADLINE) for event in (first, *others))
    assert calls == [1, 100]


def test_an_error_over_one_client_harms_no_other(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    session = Session(("news",), "ann", Never(), recheck=house.recheck)
    house.rechecks.add(session, broken)
    house.come("ann")
    house.allowed = {"ann": False}
    assert house.rechecks.hold(session, broken)
    released = house.holds(session)
    assert released is not None
    assert released.wait(DEADLINE)
    assert house.lost == {"ann": {"news"}}
    assert "ZeroDivisionError" in caplog.text
