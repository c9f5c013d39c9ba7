"""Who asks about rights: how many at once, how long, and what a call that hangs costs others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from streamy_core.delivery.asking import HANGING, HANGING_EACH, HANGING_OF_ONE, TOGETHER, Asker
from streamy_core.delivery.questions import Answer, Failure, Question, Recheck
from streamy_core.testing import ManualClock
from streamy_core.testing.reading import eventually

TIMEOUT = 5.0


def about(*keys: str) -> list[Question]:
    return [Question(key, ("news",)) for key in keys]


def one(call: Callable[..., Any]) -> Recheck:
    return Recheck(call, many=False, around=nullcontext)


def many(call: Callable[..., Any]) -> Recheck:
    return Recheck(call, many=True, around=nullcontext)


class Asking:
    """An asker, and what it was told."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.asker = Asker(TIMEOUT, self.clock, lambda: None)
        self.answers: dict[str | None, Answer] = {}
        self.hanging = threading.Event()
        self.begun: list[str | None] = []

    def collect(self) -> dict[str | None, Answer]:
        for answered in self.asker.collect():
            for question, answer in zip(answered.questions, answered.answers, strict=True):
                self.answers[question.key] = answer
        return self.answers

    def wait_for(self, *keys: str) -> None:
        eventually(lambda: set(keys) <= self.collect().keys(), f"answers about {keys}")

    def hang(self, key: str | None, streams: tuple[str, ...]) -> bool:
        """Answers when the test is over."""
        self.begun.append(key)
        self.hanging.wait()
        return True

    def hang_for(self, recheck: Recheck, *keys: str) -> None:
        """Have it asked, and wait until it hangs for longer than it may."""
        before = len(self.begun)
        self.asker.ask(recheck, about(*keys))
        eventually(lambda: len(self.begun) == before + len(keys), "they are asked")
        self.clock.advance(TIMEOUT)
        self.wait_for(*keys)


@pytest.fixture
def asking() -> Iterator[Asking]:
    asking = Asking()
    yield asking
    asking.hanging.set()
    asking.asker.close()


def test_thousands_are_one_call(asking: Asking) -> None:
    calls: list[int] = []

    def may(questions: list[Any]) -> list[bool]:
        calls.append(len(questions))
        return [True] * len(questions)

    keys = [str(number) for number in range(TOGETHER)]
    asking.asker.ask(many(may), about(*keys))
    asking.wait_for(*keys)
    assert calls == [TOGETHER]


def test_those_who_come_during_a_call_are_the_next_call_together(asking: Asking) -> None:
    calls: list[list[Any]] = []
    go_on = threading.Event()

    def may(questions: list[Any]) -> list[bool]:
        calls.append([key for key, _ in questions])
        go_on.wait()
        return [True] * len(questions)

    recheck = many(may)
    asking.asker.ask(recheck, about("first"))
    eventually(lambda: calls, "it is asked")
    for key in "abc":
        asking.asker.ask_soon(recheck, about(key)[0])
        asking.asker.ask_soon(recheck, about("first")[0])  # which is being answered
    go_on.set()
    asking.wait_for("first", *"abc")
    assert calls == [["first"], ["a", "b", "c"]]


def test_a_call_that_takes_too_long_has_failed_and_costs_its_own_questions_only(asking: Asking) -> None:
    asking.asker.ask(one(asking.hang), about("stuck"))
    eventually(lambda: asking.begun, "it hangs")
    asking.asker.ask(one(lambda key, streams: True), about("a", "b"))
    asking.wait_for("a", "b")
    assert "stuck" not in asking.answers
    assert asking.asker.due_at() == TIMEOUT
    asking.clock.advance(TIMEOUT)
    assert asking.collect()["stuck"] == Failure("it took longer than 5 s")
    assert asking.asker.due_at() is None


def test_one_that_hangs_for_every_client_leaves_others_a_thread(asking: Asking) -> None:
    asking.asker.ask(one(asking.hang), about(*map(str, range(100))))
    asking.asker.ask(many(lambda questions: [True]), about("a"))
    asking.wait_for("a")
    eventually(lambda: len(asking.begun) == 3, "beginning to ask three")


def test_an_answer_that_comes_late_is_one_all_the_same(asking: Asking) -> None:
    def may(key: str | None, streams: tuple[str, ...]) -> bool:
        return not asking.hang(key, streams)

    asking.hang_for(one(may), "late")
    asking.hanging.set()
    eventually(lambda: asking.collect()["late"] == {"news"}, "the answer")


def test_a_client_over_whom_calls_hang_is_asked_about_no_more_until_one_returns(asking: Asking) -> None:
    recheck = one(asking.hang)
    for _ in range(HANGING_OF_ONE):
        asking.hang_for(recheck, "stuck")
    asking.answers.clear()
    asking.asker.ask(recheck, about("stuck"))
    asking.wait_for("stuck")
    assert asking.begun == ["stuck"] * HANGING_OF_ONE
    asking.hanging.set()
    eventually(lambda: not asking.asker._calls, "they return")
    asking.asker.ask(recheck, about("stuck"))
    eventually(lambda: len(asking.begun) == HANGING_OF_ONE + 1, "it is asked again")


def test_so_many_threads_may_hang_and_no_more_and_then_there_is_no_answer(asking: Asking) -> None:
    for number in range(0, HANGING, 3):
        recheck = one(lambda key, streams: asking.hang(key, streams))
        asking.hang_for(recheck, *(str(number + place) for place in range(3)))
    asking.asker.ask(many(lambda questions: [True]), about("another"))
    asking.wait_for("another")
    assert isinstance(asking.answers["another"], Failure)
    assert asking.asker._threads == HANGING
    asking.hanging.set()
    eventually(lambda: not asking.asker._calls, "they return")
    asking.asker.ask(many(lambda questions: [True]), about("after"))
    asking.wait_for("after")
    assert asking.answers["after"] == frozenset()


def test_one_that_hangs_leaves_threads_to_others(asking: Asking) -> None:
    bad, good = one(asking.hang), one(lambda key, streams: True)
    for number in range(0, HANGING_EACH, 2):
        asking.hang_for(bad, str(number), str(number + 1))
    asking.asker.ask(bad, about("next"))
    asking.asker.ask(good, about("another"))
    asking.wait_for("next", "another")
    assert isinstance(asking.answers["next"], Failure)
    assert asking.answers["another"] == frozenset()


class Queue:
    """One that answers nobody before `go_on`, while as many calls as there may be are under way.

    order: the keys, as it answers.
    """

    def __init__(self, asking: Asking) -> None:
        self.order: list[str | None] = []
        self.go_on = threading.Event()
        self.recheck = one(self._may)
        self._begun: list[str | None] = []
        asking.asker.ask(self.recheck, [Question("first", (str(number),)) for number in range(3)])
        eventually(lambda: len(self._begun) == 3, "all that may be asked at once are")

    def _may(self, key: str | None, streams: tuple[str, ...]) -> bool:
        if key == "first":
            self._begun.append(key)
            self.go_on.wait()
        self.order.append(key)
        return True


def test_what_is_urgent_and_what_waits_take_turns(asking: Asking) -> None:
    queue = Queue(asking)
    asking.asker.ask(queue.recheck, about("waits"))
    for number in range(100):
        asking.asker.ask_soon(queue.recheck, about(str(number))[0])
    queue.go_on.set()
    asking.wait_for("waits", "99")
    assert queue.order.index("waits") < 12


def test_what_is_urgent_is_asked_before_what_waits(asking: Asking) -> None:
    queue = Queue(asking)
    asking.asker.ask(queue.recheck, about(*map(str, range(20))))
    asking.asker.ask_soon(queue.recheck, about("urgent")[0])
    queue.go_on.set()
    asking.wait_for("urgent", *map(str, range(20)))
    assert queue.order.index("urgent") < queue.order.index("10")


def test_threads_hold_on_to_nothing_and_end_when_there_is_nothing_to_ask(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamy_core.delivery.asking._IDLE", 0.01)
    asking.asker.ask(one(lambda key, streams: True), about("a"))
    asking.wait_for("a")
    eventually(lambda: asking.asker._threads == 0, "its threads end")
