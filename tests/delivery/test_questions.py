"""What an answer about a right means, and what is none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from streamy_core.delivery.questions import NOTHING, Failure, Question, Recheck

ASKED = Question("ann", ("a", "b"))


def ask(call: Callable[..., Any], *questions: Question, many: bool = False) -> list[Any]:
    return Recheck(call, many=many, around=nullcontext).ask(questions or (ASKED,))


@pytest.mark.parametrize(
    ("given", "lost"),
    [
        (True, NOTHING),
        (False, {"a", "b"}),
        (["a", "b"], NOTHING),
        ({"a"}, {"b"}),
        (("b", "somebody else's"), {"a"}),
        ({"a": 1, "b": 2}.keys(), NOTHING),
        ([], {"a", "b"}),
        (frozenset(), {"a", "b"}),
    ],
)
def test_an_answer_is_a_bool_or_what_may_be_read_of_what_was_asked(given: object, lost: object) -> None:
    assert ask(lambda key, streams: given) == [lost]


@pytest.mark.parametrize(
    "given",
    [None, 1, 0, "a", "", b"a", {"a": False}, iter(["a"]), [1], ["a", None], object()],
)
def test_anything_else_is_no_answer_and_never_a_yes(given: object) -> None:
    (answer,) = ask(lambda key, streams: given)
    assert isinstance(answer, Failure)
    assert repr(given)[:100] in answer.reason
    (answer,) = ask(lambda questions: [given], many=True)
    assert isinstance(answer, Failure)


def test_what_is_raised_is_no_answer() -> None:
    error = SystemExit("whatever")

    def broken(key: str | None, streams: tuple[str, ...]) -> bool:
        raise error

    assert ask(broken) == [Failure("it raised SystemExit: whatever", error)]


@pytest.mark.parametrize("given", [None, True, "yes", {}, [True], [True, True, True], iter([True, True])])
def test_of_many_there_are_as_many_answers_as_questions_or_none(given: object) -> None:
    answers = ask(lambda questions: given, ASKED, Question("bob", ("c",)), many=True)
    assert [type(answer) for answer in answers] == [Failure, Failure]


def test_a_bad_answer_among_many_spoils_itself_only() -> None:
    answers = ask(lambda questions: [None, True], ASKED, Question("bob", ("c",)), many=True)
    assert isinstance(answers[0], Failure)
    assert answers[1] == NOTHING


def test_many_are_told_pairs_in_a_list_of_their_own() -> None:
    seen: list[Any] = []

    def may(questions: list[tuple[str | None, tuple[str, ...]]]) -> list[bool]:
        seen.extend(questions)
        questions.reverse()
        return [key == "ann" for key, _ in reversed(questions)]

    assert ask(may, ASKED, Question(None, ("c",)), many=True) == [NOTHING, {"c"}]
    assert seen == [("ann", ("a", "b")), (None, ("c",))]


def test_what_is_around_a_call_is_around_its_answer_too() -> None:
    inside = False

    @contextmanager
    def around() -> Any:
        nonlocal inside
        inside = True
        yield
        inside = False

    class Lazy(list[str]):
        def __iter__(self) -> Any:
            assert inside, "read too late"
            return super().__iter__()

    assert Recheck(lambda key, streams: Lazy("a"), many=False, around=around).ask([ASKED]) == [{"b"}]


class Rights:
    __hash__ = None  # type: ignore[assignment]

    def may(self, key: str | None, streams: tuple[str, ...]) -> bool:
        return True


def test_the_same_method_of_the_same_object_is_one_to_ask() -> None:
    rights, others = Rights(), Rights()
    first, again, another = (
        Recheck(one.may, many=False, around=nullcontext) for one in (rights, rights, others)
    )
    assert first == again
    assert hash(first) == hash(again)
    assert first != another
    assert first != Recheck(rights.may, many=True, around=nullcontext)
