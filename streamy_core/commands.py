"""What one process tells all others: commands go through the broker, on a stream of their own."""

from __future__ import annotations

import json
from typing import NamedTuple

from .events import Event

_DISCONNECT = "disconnect"


class DisconnectCommand(NamedTuple):
    """Disconnect the clients of this stream, of this key, or those to whom both apply."""

    stream_id: str | None
    key: str | None


def disconnect_command(stream_id: str | None, key: str | None) -> Event:
    """The event that has clients disconnected wherever they are."""
    return Event(json.dumps({"stream_id": stream_id, "key": key}), _DISCONNECT)


def parse_command(event: Event) -> DisconnectCommand | None:
    """The command that an event is; None for what is none, as one of a newer release may be."""
    if event.name != _DISCONNECT:
        return None
    try:
        given = json.loads(event.data)
        return DisconnectCommand(given["stream_id"], given["key"])
    except (ValueError, TypeError, KeyError):
        return None
