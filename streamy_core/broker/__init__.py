"""What the author of a backend builds on: the interface, its values, and what most backends need."""

from ..errors import (
    BackendConflict,
    BackendUnusable,
    BrokerUnavailable,
    Closed,
    ConfigError,
    PartlyUnavailable,
    StreamEnded,
    UnknownBackend,
)
from ..events import (
    MAX_STREAM_ID,
    DamagedEvent,
    Entry,
    Event,
    Page,
    bounded,
    decode_meta,
    encode_meta,
)
from ..hookspecs import BrokerFactory, hookimpl
from ..ids import OLDEST, UNPLACEABLE, make_id, new_epoch, new_nonce, sequence_of
from ..urls import options_of, redact, scheme_of
from .capabilities import (
    AppendsLast,
    AppendsToMany,
    AppendsWithin,
    BringsEntries,
    EndsWithin,
    Forgets,
    HasTables,
    KeepsMeta,
    ListsStreams,
    ReadsBack,
    StreamInfo,
    TellsTime,
)
from .forks import ForkGuard
from .interface import Broker, Duplicate, Watch
from .polling import AdaptivePolling, FixedPolling, PollScheduler
from .waker import Waker
from .watches import BaseWatch, PollingWatch

__all__ = [
    "MAX_STREAM_ID",
    "OLDEST",
    "UNPLACEABLE",
    "AdaptivePolling",
    "AppendsLast",
    "AppendsToMany",
    "AppendsWithin",
    "BackendConflict",
    "BackendUnusable",
    "BaseWatch",
    "BringsEntries",
    "Broker",
    "BrokerFactory",
    "BrokerUnavailable",
    "Closed",
    "ConfigError",
    "DamagedEvent",
    "Duplicate",
    "EndsWithin",
    "Entry",
    "Event",
    "FixedPolling",
    "Forgets",
    "ForkGuard",
    "HasTables",
    "KeepsMeta",
    "ListsStreams",
    "Page",
    "PartlyUnavailable",
    "PollScheduler",
    "PollingWatch",
    "ReadsBack",
    "StreamEnded",
    "StreamInfo",
    "TellsTime",
    "UnknownBackend",
    "Waker",
    "Watch",
    "bounded",
    "decode_meta",
    "encode_meta",
    "hookimpl",
    "make_id",
    "new_epoch",
    "new_nonce",
    "options_of",
    "redact",
    "scheme_of",
    "sequence_of",
]
