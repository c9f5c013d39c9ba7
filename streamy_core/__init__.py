"""Server-Sent Events for Flask, with the backend chosen by one config line."""

from .broker import AppendsWithin, BringsEntries, Broker, HasTables, ListsStreams, StreamInfo, Watch
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
from .events import END, GAP, Entry, Event, Page
from .hookspecs import hookimpl
from .hub import Health
from .ids import OLDEST
from .keepalive import FixedInterval, Jittered, KeepAliveScheduler, Never
from .manager import StreamManager
from .plugins import find_backends, open_broker
from .response import EventStreamResponse
from .retry import ExponentialBackoff, FixedDelay, NoRetry, RetryPolicy
from .subscription import Subscription
from .urls import options_of

__all__ = [
    "END",
    "GAP",
    "OLDEST",
    "AppendsWithin",
    "BackendConflict",
    "BackendUnusable",
    "BringsEntries",
    "Broker",
    "BrokerUnavailable",
    "Closed",
    "ConfigError",
    "Entry",
    "Event",
    "EventStreamResponse",
    "ExponentialBackoff",
    "FixedDelay",
    "FixedInterval",
    "HasTables",
    "Health",
    "InvalidEvent",
    "InvalidStreamId",
    "Jittered",
    "KeepAliveScheduler",
    "ListsStreams",
    "Never",
    "NoRetry",
    "Page",
    "PublishFailed",
    "RetryPolicy",
    "StreamEnded",
    "StreamInfo",
    "StreamManager",
    "StreamyError",
    "Subscription",
    "UnknownBackend",
    "Watch",
    "find_backends",
    "hookimpl",
    "open_broker",
    "options_of",
]
