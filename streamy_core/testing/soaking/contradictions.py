"""What a history can't be, told in plain English."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .history import Add, Append, Call, End, Read, Tail, Wait
from .plan import SECOND


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Calls of which no sound broker could have answered all as they were answered.

    text:  what is wrong, in a sentence.
    calls: those that show it.
    """

    text: str
    calls: tuple[Call, ...]

    @property
    def size(self) -> tuple[int, int]:
        """The fewer calls show it, and the closer they are to each other, the easier it is understood."""
        ends = [call.until for call in self.calls]
        return len(self.calls), max(ends, default=0) - min([call.called for call in self.calls], default=0)

    def __str__(self) -> str:
        shown = sorted(set(self.calls), key=lambda call: call.called)
        return "\n".join([self.text, *(f"  {line_of(call)}" for call in shown)])


def smallest(found: Collection[Contradiction]) -> Contradiction | None:
    """The one to begin with, if there is any."""
    return min(found, key=lambda each: each.size, default=None)


def at(time: int | None) -> str:
    """A time as people read it."""
    return "nobody knows when" if time is None else f"{time / SECOND:.6f} s"


def line_of(call: Call) -> str:
    """A call in a line: when, who, what, and what came of it."""
    end = "never returned" if call.returned is None else at(call.returned)
    stream = getattr(call, "stream", None)
    where = "" if stream is None else f" on {stream!r}"
    return f"{at(call.called)} to {end}  {call.who}: {call}{where}{_outcome(call)}"


def _outcome(call: Call) -> str:
    if call.fault or call.returned is None:
        return f": {call.fault}" if call.fault else ""
    match call:
        case Append():
            return f" -> {_some(call.ids)}"
        case Read():
            marks = [name for name in ("gap", "more", "ended") if getattr(call, name)]
            found = _some(
                [f"{entry_id} {data!r}" for entry_id, data in zip(call.ids, call.data, strict=True)]
            )
            return f" -> {found}, next {call.next!r}" + "".join([f", {mark}" for mark in marks])
        case Tail():
            return f" -> {call.cursor!r}"
        case Wait():
            return f" of {call.seconds:.3f} s -> {_some(call.named)}"
        case Add() | End() | _:
            return ""


def _some(what: Collection[str]) -> str:
    shown = list(what)
    if len(shown) > 4:
        shown = [*shown[:2], f"({len(shown) - 3} more)", shown[-1]]
    return ", ".join(shown) or "nothing"
