"""What may be set: named options with their types, bounds and defaults, declared in one place.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Options:
        history: int = option(1_000, whole(1), doc="The newest entries of a stream that are kept.")

    parse_options(Options, {"history": "500"}, label="directory option {!r}".format)

Values may be given as they are, or as the text that a URL's query or an environment variable has.
Settings of an app, and options of a backend, are both declared and checked so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from .errors import ConfigError
from .exact import exact_text, exact_whole

MAX_SECONDS: Final = 100 * 365 * 86_400.0

_TRUE: Final = ("true", "yes", "on", "1")
_FALSE: Final = ("false", "no", "off", "0")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind:
    """What an option's value may be.

    expected: says so in words: "a whole number from 1".
    accepts:  returns a value as it is to be used; raises ValueError or TypeError for any other, and
              ConfigError where it has more to say.
    """

    expected: str
    accepts: Callable[[Any], Any]


def whole(least: int = 0, most: int | None = None) -> Kind:
    """A whole number from `least` to `most`."""

    def accepts(value: Any) -> int:
        number = int(value) if isinstance(value, str) else exact_whole(value)
        if number is None or number < least or (most is not None and number > most):
            raise ValueError
        return number

    return Kind(f"a whole number from {least}" + (f" to {most}" if most is not None else ""), accepts)


def seconds(least: float = 0.001, most: float = MAX_SECONDS) -> Kind:
    """A number of seconds from `least` to `most`."""

    def accepts(value: Any) -> float:
        number = float(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int | float) or not least <= number <= most:
            raise ValueError
        return float(number)

    lowest = "above 0" if least > 0 else "from 0 on"
    return Kind(f"a number of seconds {lowest}, and at most {most:,.0f}", accepts)


def flag() -> Kind:
    """True or False."""

    def accepts(value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if not isinstance(value, str) or value.lower() not in (*_TRUE, *_FALSE):
            raise ValueError
        return value.lower() in _TRUE

    return Kind("true or false", accepts)


def text(expected: str = "text", allows: Callable[[str], bool] = lambda _: True) -> Kind:
    """A text that `allows` allows; `expected` says which."""

    def accepts(value: Any) -> str:
        found = exact_text(value)
        if found is None or not allows(found):
            raise ValueError
        return found

    return Kind(expected, accepts)


def one_of(*words: str) -> Kind:
    """One of these words."""
    return text(f"one of {', '.join(words)}", lambda value: value in words)


def mapping() -> Kind:
    """A dict by names."""

    def accepts(value: Any) -> dict[str, Any]:
        given: Any = value
        if not isinstance(value, Mapping):
            raise ValueError
        found: dict[Any, Any] = {exact_text(name): item for name, item in dict(given).items()}
        if None in found:
            raise ValueError
        return found

    return Kind("a dict by names", accepts)


def instance(kind: type | tuple[type, ...], expected: str) -> Kind:
    """An object of this class, or of one of these, or one that has all methods of this protocol.

    Not a class of such objects.
    """

    def accepts(value: Any) -> Any:
        if isinstance(value, type) or not isinstance(value, kind):
            raise ValueError
        return value

    return Kind(expected, accepts)


def optional(kind: Kind) -> Kind:
    """None, or a value of this kind."""
    return Kind(f"{kind.expected}, or None", lambda value: None if value is None else kind.accepts(value))


def option(default: Any, kind: Kind, *, doc: str = "", secret: bool = False) -> Any:
    """A field of a dataclass of options.

    default: the value, or a callable that makes it.
    doc:     a sentence for reference pages.
    secret:  whether its value must not be shown, neither by `repr` nor in an error.
    """
    factory = default if callable(default) else lambda: default
    return field(default_factory=factory, repr=not secret, metadata={"kind": kind, "doc": doc})


def parse_options(options: type[T], given: Mapping[str, Any], label: Callable[[str], str]) -> T:
    """The options that are given, each checked; the others have their defaults.

    label: what an error calls an option: `"redis option {!r}".format`.

    Raises ConfigError for a name that `options` hasn't, and for a value that can't be.
    """
    known = option_names(options)
    for name in given:
        if name not in known:
            raise ConfigError(unknown_option(label(name), name, known))
    return options(**{name: check_option(options, name, value, label(name)) for name, value in given.items()})


def check_option(options: type, name: str, value: Any, label: str) -> Any:
    """The value as it is to be used. Raises ConfigError, which begins with the label."""
    (found,) = [item for item in fields(options) if item.name == name]
    kind: Kind = found.metadata["kind"]
    try:
        return kind.accepts(value)
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from None
    except (ValueError, TypeError, OverflowError):
        shown = repr(value) if found.repr else type(value).__name__
        raise ConfigError(f"{label} has to be {kind.expected}, not {shown}") from None


def option_names(options: type) -> list[str]:
    """The names of all options, in the order of their declaration."""
    return [item.name for item in fields(options)]


def unknown_option(label: str, name: str, known: Collection[str]) -> str:
    """The message for a name that isn't known: what it may have meant, else what there is."""
    near = near_name(name, known)
    hint = f"did you mean {near!r}?" if near else f"there are {', '.join(sorted(known))}"
    return f"{label} is unknown: {hint}"


def near_name(name: str, known: Collection[str], likeness: float = 0.6) -> str | None:
    """The known name that this one is most like, if it is like any.

    likeness: from 0 to 1. Where names may be somebody else's, ask for more than by default.
    """
    return next(iter(get_close_matches(name, known, n=1, cutoff=likeness)), None)
