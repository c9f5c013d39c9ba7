"""A right to read, asked about again: the question, whom it is put to, and what an answer means."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ..exact import exact_text

Verdict = bool | Collection[str]
"""Whether a client may go on; or with which of its streams it may."""

MayRead = Callable[[str | None, tuple[str, ...]], Verdict]
"""Given a client's key and the ids of its streams."""

MayReadMany = Callable[[list[tuple[str | None, tuple[str, ...]]]], Sequence[Verdict]]
"""Given many of both; the answers are in the same order."""

NOTHING: Final[frozenset[str]] = frozenset()


class Question(NamedTuple):
    """Whether a client of this key may still read these streams."""

    key: str | None
    stream_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """There is no answer. reason: why, in words. error: what was raised, if anything was."""

    reason: str
    error: BaseException | None = None


Answer = frozenset[str] | Failure
"""The streams that are lost: none, for a yes."""


class Recheck:
    """Whom to ask. Two are equal that call the same, with the same around it.

    call:   a `MayRead`, or, if `many`, a `MayReadMany`.
    around: makes what is entered around each call, on the thread that calls.
    """

    __slots__ = ("_identity", "around", "call", "many")

    def __init__(
        self, call: Callable[..., Any], *, many: bool, around: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self.call: Callable[..., Any] = call
        self.many: bool = many
        self.around: Callable[[], AbstractContextManager[object]] = around
        # A bound method is another object each time that it is looked up.
        owner, function = getattr(call, "__self__", None), getattr(call, "__func__", call)
        self._identity = (id(owner), id(function), many, around)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recheck) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def name(self) -> str:
        """What the log calls it."""
        call: Any = self.call
        module = getattr(call, "__module__", None) or type(call).__module__
        return f"{module}.{getattr(call, '__qualname__', type(call).__qualname__)}"

    def ask(self, questions: Collection[Question]) -> list[Answer]:
        """The answers, in order. Blocks, raises nothing."""
        try:
            with self.around():
                return self._ask(questions)
        except BaseException as error:  # noqa: BLE001 - whatever it is, there is no answer
            return [Failure(f"it raised {type(error).__name__}: {error}", error)] * len(questions)

    def _ask(self, questions: Collection[Question]) -> list[Answer]:
        if not self.many:
            return [answer_to(question, self.call(*question)) for question in questions]
        given: Any = self.call(list(questions))
        if not isinstance(given, list | tuple):
            return [Failure(f"it returned {_shown(given)}, and no list of answers")] * len(questions)
        answers: list[Any] = [*given]
        if len(answers) != len(questions):
            reason = f"it returned {len(answers)} answers to {len(questions)} questions"
            return [Failure(reason)] * len(questions)
        return [answer_to(question, one) for question, one in zip(questions, answers, strict=True)]


def answer_to(question: Question, given: object) -> Answer:
    """What this means; a Failure for what is neither a bool nor a collection of stream ids."""
    if given is True:
        return NOTHING
    if given is False:
        return frozenset(question.stream_ids)
    some: Any = given
    if isinstance(some, str | bytes | bytearray | Mapping) or not isinstance(some, Collection):
        return Failure(f"it answered {_shown(given)}, which is neither a bool nor a collection of stream ids")
    items: list[Any] = [*some]
    names = {exact_text(item) for item in items}
    if None in names:
        return Failure(f"it answered {_shown(given)}, in which not all are stream ids")
    return frozenset(name for name in question.stream_ids if name not in names)


def _shown(given: object) -> str:
    return f"{given!r:.100}"
