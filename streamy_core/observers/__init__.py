"""What happens, told to whoever wants to hear it: signals, logs, metrics, an app's own observer.

An `Observer` has a method for each thing that happens; all of them do nothing. Override those that you
want to hear, and name the observer in `STREAMY_OBSERVERS`.
"""

from .base import (
    Beginning,
    ClientInfo,
    DisconnectReason,
    DropReason,
    GapCause,
    Observer,
    PublishOutcome,
    TurnAwayCause,
)
from .several import Observers

__all__ = [
    "Beginning",
    "ClientInfo",
    "DisconnectReason",
    "DropReason",
    "GapCause",
    "Observer",
    "Observers",
    "PublishOutcome",
    "TurnAwayCause",
]
