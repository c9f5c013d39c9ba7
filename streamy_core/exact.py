"""Text and numbers as what they are, and not as what they are dressed up as.

`class Kind(str, Enum)`, Jinja's `Markup` and a `LocalProxy` all pass for a str, and each says something of
its own when it is formatted, hashed, or given to a driver. Each is reduced once, where it comes in.
"""

from __future__ import annotations

import operator
from typing import Any, SupportsFloat


def exact_text(value: object) -> str | None:
    """The str that this is: the value of an enum's member, what is behind a proxy. None if it is none."""
    if type(value) is str:
        return value
    given: Any = value
    if issubclass(type(value), str):
        return str.__str__(given)
    if not isinstance(value, str):  # which asks `__class__`, by which a proxy passes for what it hides
        return None
    return exact_text(given[:])


def exact_whole(value: object) -> int | None:
    """The int that this is, such as an enum's member, or NumPy's. None for all else, bools too."""
    if type(value) is int:
        return value
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def exact_number(value: object) -> float | None:
    """The float that this is, or an int, a fraction, NumPy's. None for all else, bools and text too."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def behind_proxy(value: object) -> Any:
    """What a proxy stands for that shows it as Werkzeug's `LocalProxy` does; else the value itself."""
    given: Any = value
    if not hasattr(type(value), "_get_current_object"):
        return given
    return behind_proxy(given._get_current_object())
