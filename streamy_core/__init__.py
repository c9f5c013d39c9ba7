"""Server-Sent Events for Flask, with the backend chosen by one config line.

Here is what an app's author imports. Policies are in `streamy_core.strategies`, signals in
`streamy_core.signals`, what tests need in `streamy_core.testing`, and what the author of a backend
builds on in `streamy_core.broker`.
"""

from typing import TYPE_CHECKING, Any

from .engine.health import Health
from .engine.outcomes import RunEnd, RunOutcome
from .engine.subscription import Subscription
from .errors import (
    BackendConflict,
    BackendUnusable,
    BrokerUnavailable,
    Closed,
    ConfigError,
    EndlessBody,
    InvalidCursor,
    InvalidEvent,
    InvalidKey,
    InvalidStreamId,
    PublishFailed,
    RunExists,
    RunStopped,
    StreamEnded,
    StreamyError,
    TooManyRuns,
    UnknownBackend,
)
from .events import END, GAP, OPEN, Entry, Event, History
from .ids import OLDEST
from .runs.coalescing import Coalesce
from .runs.run import Run
from .starts import BEGINNING, NOW, Last, Since

if TYPE_CHECKING:
    from .log_handler import StreamHandler
    from .manager import StreamManager
    from .response import EventStreamResponse

__version__ = "0.2.0"

__all__ = [
    "BEGINNING",
    "END",
    "GAP",
    "NOW",
    "OLDEST",
    "OPEN",
    "BackendConflict",
    "BackendUnusable",
    "BrokerUnavailable",
    "Closed",
    "Coalesce",
    "ConfigError",
    "EndlessBody",
    "Entry",
    "Event",
    "EventStreamResponse",
    "Health",
    "History",
    "InvalidCursor",
    "InvalidEvent",
    "InvalidKey",
    "InvalidStreamId",
    "Last",
    "PublishFailed",
    "Run",
    "RunEnd",
    "RunExists",
    "RunOutcome",
    "RunStopped",
    "Since",
    "StreamEnded",
    "StreamHandler",
    "StreamManager",
    "StreamyError",
    "Subscription",
    "TooManyRuns",
    "UnknownBackend",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # What needs Flask is imported when it is asked for: a broker, a worker or a script may do without.
    if name == "StreamManager":
        from .manager import StreamManager

        return StreamManager
    if name == "StreamHandler":
        from .log_handler import StreamHandler

        return StreamHandler
    if name == "EventStreamResponse":
        from .response import EventStreamResponse

        return EventStreamResponse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
