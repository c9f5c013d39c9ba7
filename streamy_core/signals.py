"""Signals of what happens to clients, by blinker as Flask's own.

The sender is the StreamManager. They are sent by whichever thread delivers, without an app context;
a receiver must not block, and an error in it is logged and harms nobody.

client_connected:    streams, key, delivery ("wsgi" or "detached")
client_disconnected: streams, key, delivery, reason: a `streamy_core.observers.DisconnectReason`
stream_ended:        stream_id; once in each process that has clients of it
gap:                 stream_id, cursor (from where), goes_on (to where), cause: a
                     `streamy_core.observers.GapCause`; once for each client that came back to it, once
                     in each process whose clients met it together
slow_client:         streams, key, lag; when a policy has decided against it
"""

from __future__ import annotations

from blinker import NamedSignal, Namespace

_signals = Namespace()

client_connected: NamedSignal = _signals.signal("client-connected")
client_disconnected: NamedSignal = _signals.signal("client-disconnected")
stream_ended: NamedSignal = _signals.signal("stream-ended")
gap: NamedSignal = _signals.signal("gap")
slow_client: NamedSignal = _signals.signal("slow-client")
