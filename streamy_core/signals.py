"""Signals of what happens to clients, by blinker as Flask's own.

The sender is the StreamManager. They are sent by whichever thread delivers, without an app context;
a receiver must not block, and an error in it is logged and harms nobody.

client_connected:    streams, key, delivery ("generator" or "detached")
client_disconnected: streams, key, delivery, reason: "gone" (the client left), "ended" (its streams
                     did), "slow", "aged" (`STREAMY_MAX_AGE`), "disconnected" (by `disconnect`),
                     "busy" (no slot was free, so it was never connected), "leaving" (the process stops)
stream_ended:        stream_id; once in each process that has clients of it
gap:                 stream_id, cursor (from where), goes_on (to where); once for each client that came
                     back to it, once in each process whose clients met it together
slow_client:         streams, key, lag; when a policy has decided against it
"""

from __future__ import annotations

import logging
from typing import Any

from blinker import NamedSignal, Namespace

_signals = Namespace()

client_connected = _signals.signal("client-connected")
client_disconnected = _signals.signal("client-disconnected")
stream_ended = _signals.signal("stream-ended")
gap = _signals.signal("gap")
slow_client = _signals.signal("slow-client")

logger = logging.getLogger("streamy")


def emit(signal: NamedSignal, *, sender: Any, **news: Any) -> None:
    """Send a signal; a receiver's error is logged. Any thread."""
    for receiver in signal.receivers_for(sender) if signal.receivers else ():
        try:
            receiver(sender, **news)
        except Exception:
            logger.exception("a receiver of %s failed", signal.name)
