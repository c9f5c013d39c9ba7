"""Reads values of JSON that anybody may have written: what is of another kind than asked is as nothing."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

MOST: Final = 50
"""Items of an object; of those beyond nothing is read."""

_LONGEST: Final = 300
"""Characters of a text."""

_HUGE: Final = 2.0**53


def text(value: Any) -> str:
    """Cut, if it is long; "" for what isn't one."""
    return value[:_LONGEST] if isinstance(value, str) else ""


def number(value: Any) -> float:
    """0 for what isn't one, and for one that is too large to be exact."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and -_HUGE <= value <= _HUGE else 0.0


def number_or_none(value: Any) -> float | None:
    """As `number`, but for null."""
    return None if value is None else number(value)


def whole(value: Any) -> int:
    """As `number`, without its fraction."""
    return int(number(value))


def flag(value: Any) -> bool:
    """Whether it is true."""
    return value is True


def items(value: Any, most: int = MOST) -> list[tuple[str, Any]]:
    """The first of an object's, with names cut as texts are."""
    given: Any = value
    pairs: Iterable[Any] = given.items() if isinstance(value, dict) else ()
    return [(str(key)[:_LONGEST], item) for key, item in islice(pairs, most)]


def objects(value: Any, most: int = MOST) -> list[dict[str, Any]]:
    """The first of a list's, each of which is read as an object."""
    given: Any = value
    return [dict(items(item)) for item in (given[:most] if isinstance(value, list) else ())]


def counts(value: Any) -> dict[str, int]:
    """Whole numbers by their names."""
    return {key: whole(item) for key, item in items(value)}


def texts(value: Any) -> dict[str, str]:
    """Texts by their names."""
    return {key: text(item) for key, item in items(value)}
