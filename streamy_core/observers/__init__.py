"""What happens, told to whoever wants to hear it: signals, logs, metrics, an app's own observer.

An `Observer` has a method for each thing that happens; all of them do nothing. Override those that you
want to hear, and name the observer in `STREAMY_OBSERVERS`.
"""

from .base import ClientInfo, Observer
from .several import Observers
from .words import Beginning, DisconnectReason, DropReason, GapCause, PublishOutcome, TurnAwayCause

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
