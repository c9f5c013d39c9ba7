"""Kinds of settings that only an app has: a broker, strategies, functions, origins."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from .broker import Broker
from .exact import exact_text
from .observers import Observer
from .observers.metrics import Instruments, open_instruments
from .observers.traces import Tracer, open_tracer
from .options import Kind, instance, seconds
from .origins import check_origins
from .plugins import load_named
from .strategies.keepalive import FixedInterval, KeepAliveScheduler
from .urls import scheme_of

MAX_SECONDS: Final = (2**31 - 1) / 1000
"""As many as fit a `retry:` field in milliseconds, and the longest wait that every system knows."""

LOOPBACK: Final = "loopback"
"""Whoever asks from the machine itself, by no proxy that says so."""

_NUMBER: Final = re.compile(r"\s*[-+]?[\d.].*", re.DOTALL)
"""What begins as a number does, and as no name of a scheduler can."""


def broker_url() -> Kind:
    """A broker's URL, or the broker itself."""

    def accepts(value: Any) -> str | Broker:
        if isinstance(value, Broker):
            return value
        url = exact_text(value)
        if url is None:
            raise TypeError
        scheme_of(url)
        return url

    return Kind("a URL like memory://, or a Broker", accepts)


def strategy(protocol: type, group: str, expected: str) -> Kind:
    """An object of this protocol, or its name: an entry point of `group`, or "package.module:name"."""
    kind = instance(protocol, f"{expected}, or the name of one")

    def accepts(value: Any) -> Any:
        name = exact_text(value)
        return kind.accepts(value if name is None else load_named(name, group))

    return Kind(kind.expected, accepts)


def function(of: str) -> Kind:
    """Something to call, which returns what it has to say: no class, and nothing that has to be awaited.

    of: what it takes.
    """

    def accepts(value: Any) -> Any:
        called = getattr(value, "__call__", None)  # noqa: B004 - it may be what has to be awaited
        is_async = inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(called)
        if isinstance(value, type) or not callable(value) or is_async:
            raise ValueError
        return value

    return Kind(f"a function of {of}, not async", accepts)


def named_function(of: str, group: str) -> Kind:
    """A function, or its name, as of a strategy."""
    kind = function(of)

    def accepts(value: Any) -> Any:
        name = exact_text(value)
        return kind.accepts(value if name is None else load_named(name, group))

    return Kind(f"{kind.expected}, or the name of one", accepts)


def keep_alive() -> Kind:
    """Seconds, or a scheduler, or the name of one."""
    interval = seconds(most=MAX_SECONDS)
    scheduler = strategy(KeepAliveScheduler, "streamy.keep_alive", "a KeepAliveScheduler")

    def accepts(value: Any) -> KeepAliveScheduler:
        is_number = isinstance(value, int | float) or _NUMBER.fullmatch(exact_text(value) or "")
        found: KeepAliveScheduler = (
            FixedInterval(interval.accepts(value)) if is_number else scheduler.accepts(value)
        )
        return found

    return Kind(f"{interval.expected}, {scheduler.expected}", accepts)


def observers() -> Kind:
    """Several observers, or their names."""
    observer = strategy(Observer, "streamy.observers", "a list of observers")

    def accepts(value: Any) -> tuple[Observer, ...]:
        items: Any = value
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError
        return tuple(observer.accepts(item) for item in items)

    return Kind("a list of observers, or of names of them", accepts)


def metrics() -> Kind:
    """What keeps metrics, or its name."""
    kind = instance(Instruments, '"prometheus", "opentelemetry", Instruments, or the name of such')

    def accepts(value: Any) -> Instruments:
        name = exact_text(value)
        given = value if name is None else open_instruments(name) or load_named(name, "streamy.metrics")
        found: Instruments = kind.accepts(given)
        return found

    return Kind(kind.expected, accepts)


def traces() -> Kind:
    """What makes spans, or its name."""
    kind = instance(Tracer, '"opentelemetry", a TracerProvider, a Tracer, or the name of such')

    def accepts(value: Any) -> Tracer:
        name = exact_text(value)
        given = value if name is None else open_tracer(name) or load_named(name, "streamy.traces")
        found: Tracer = kind.accepts(open_tracer(given) or given)
        return found

    return Kind(kind.expected, accepts)


def function_named(expected: str) -> Kind:
    """A function, or its name. expected: as errors say it."""

    def accepts(value: Any) -> Callable[..., Any]:
        name = exact_text(value)
        found = value if name is None else load_named(name, "streamy.functions")
        return cast(Callable[..., Any], function(expected).accepts(found))

    return Kind(expected, accepts)


def allow(group: str) -> Kind:
    """Who is told what isn't for everybody. group: of the entry points that a name may be of."""

    def accepts(value: Any) -> Any:
        name = exact_text(value)
        if name == LOOPBACK:
            return LOOPBACK
        return function("the request").accepts(value if name is None else load_named(name, group))

    return Kind(f"{LOOPBACK!r}, or a function of the request, not async, or the name of one", accepts)


def origins() -> Kind:
    """Origins of pages, as browsers say them."""
    return Kind("a list of origins such as 'https://app.example'", check_origins)
