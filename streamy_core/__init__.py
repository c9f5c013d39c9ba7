"""Server-Sent Events for Flask, with the backend chosen by one config line.

Here is what an app's author imports. Policies are in `streamy_core.strategies`, signals in
`streamy_core.signals`, what tests need in `streamy_core.testing`, and what the author of a backend
builds on in `streamy_core.broker`.
"""

from typing import TYPE_CHECKING, Any

from .engine.hub import Health
from .engine.subscription import Subscription
from .errors import (
    BackendConflict,
    BackendUnusable,
    BrokerUnavailable,
    Closed,
    ConfigError,
    InvalidEvent,
    InvalidStreamId,
    PublishFailed,
    StreamEnded,
    StreamyError,
    UnknownBackend,
)
from .events import END, GAP, Entry, Event
from .ids import OLDEST

if TYPE_CHECKING:
    from .manager import StreamManager
    from .response import EventStreamResponse

__version__ = "0.2.0"

__all__ = [
    "END",
    "GAP",
    "OLDEST",
    "BackendConflict",
    "BackendUnusable",
    "BrokerUnavailable",
    "Closed",
    "ConfigError",
    "Entry",
    "Event",
    "EventStreamResponse",
    "Health",
    "InvalidEvent",
    "InvalidStreamId",
    "PublishFailed",
    "StreamEnded",
    "StreamManager",
    "StreamyError",
    "Subscription",
    "UnknownBackend",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # What needs Flask is imported when it is asked for: a broker, a worker or a script may do without.
    if name == "StreamManager":
        from .manager import StreamManager

        return StreamManager
    if name == "EventStreamResponse":
        from .response import EventStreamResponse

        return EventStreamResponse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
