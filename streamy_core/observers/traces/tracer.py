"""What makes spans: the interface of OpenTelemetry, and whatever else an app brings."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Protocol, cast, runtime_checkable

from ...errors import ConfigError


class PublishingSpan(Protocol):
    """The span of one call that publishes. For one thread at a time.

    meta: by what an entry leads back to it, as `Event.meta` is to have it. Empty if it isn't recorded.
    """

    @property
    def meta(self) -> Mapping[str, str]:
        """See the class."""
        ...

    def as_current(self) -> AbstractContextManager[object]:
        """Within this, what the thread does is a part of it."""
        ...

    def stored(self, entry_id: str) -> None:
        """It has published one event, which has this id."""
        ...

    def end(self, failure: str | None = None) -> None:
        """It is over. failure: what kind of thing went wrong, in a word; None: nothing did."""
        ...


@runtime_checkable
class Tracer(Protocol):
    """Makes spans. Any thread; nothing may raise. An app's own is any object with these methods.

    group: that of the streams, if they have one in common; never a stream's name.
    """

    def publishing(self, group: str | None, count: int) -> PublishingSpan:
        """Begin the span of a call that publishes: in the caller's trace, if there is one.

        count: how many entries it comes to. Must not block.
        """
        ...

    def delivered(
        self, meta: Mapping[str, str], group: str | None, entry_id: str, began: int, ended: int
    ) -> None:
        """Make the span of an entry's first delivery in this process. May block.

        meta: the entry's.
        began, ended: when this process had the entry, and when it handed it to the first client that was
                      there for it, in nanoseconds since 1970.
        """
        ...


_NAME: Final = "opentelemetry"


def open_tracer(given: object) -> Tracer | None:
    """The tracer of this name, or for this provider of OpenTelemetry's; None: there is none.

    Raises ConfigError where a package is missing.
    """
    if given == _NAME:
        return cast(Tracer, _module().OpenTelemetryTracer())
    if not isinstance(given, type) and callable(getattr(given, "get_tracer", None)):
        return cast(Tracer, _module().OpenTelemetryTracer(cast(Any, given)))
    return None


def _module() -> ModuleType:
    try:
        return import_module(f"{__package__}.{_NAME}")
    except ImportError as error:
        raise ConfigError(
            f"{_NAME!r} needs opentelemetry-api, which can't be imported ({error}): "
            f'pip install "streamy-sse[{_NAME}]"'
        ) from error
