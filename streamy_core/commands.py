"""What one process tells all others: commands go through the broker, on a stream of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from typing import Final, NamedTuple, Protocol

from .errors import InvalidKey
from .events import Event
from .exact import behind_proxy, exact_text, exact_whole

_DISCONNECT = "disconnect"
_CONNECTIONS: Final = "connections"
_STOP: Final = "stop"
_LEASES: Final = "leases"
_HUGE: Final = 10**100


class Addressee(Protocol):
    """A client as far as commands go by it: what it reads, and whom it belongs to."""

    @property
    def streams(self) -> Collection[str]: ...

    @property
    def key(self) -> str | None: ...


class DisconnectCommand(NamedTuple):
    """Disconnect the clients of this stream, of this key, or those to whom both apply; else all.

    given_at: when it was given, by the giver's clock, in seconds since 1970; None: it doesn't say.
    """

    stream_id: str | None = None
    key: str | None = None
    given_at: float | None = None

    def means(self, client: Addressee) -> bool:
        """Whether this client is one of those."""
        return self.stream_id in (None, *client.streams) and self.key in (None, client.key)


def check_key(key: object) -> str:
    """The one spelling of a client's key: 5 and "5" are the same. Raises InvalidKey."""
    text = exact_text(key)
    if text is None and (number := exact_whole(key)) is not None and abs(number) < _HUGE:
        text = str(number)
    if text is None:
        kind = type(behind_proxy(key)).__name__
        raise InvalidKey(
            f"a key is text or a whole number of up to 100 digits, not {kind}: make text of it, in the same "
            "way for get_stream and disconnect"
        )
    return text


EVERYBODY: Final = DisconnectCommand()


def disconnect_command(stream_id: str | None, key: str | None) -> Event:
    """The event that has clients disconnected wherever they are."""
    return Event(json.dumps({"stream_id": stream_id, "key": key, "at": time.time()}), _DISCONNECT)


def counts_event(message: str) -> Event:
    """The event by which a process tells the others how many clients it has."""
    return Event(message, _CONNECTIONS)


def parse_command(event: Event) -> DisconnectCommand | None:
    """The command that an event is; None for what is none, as one of a newer release may be."""
    if event.name != _DISCONNECT:
        return None
    try:
        given = json.loads(event.data)
        return DisconnectCommand(given["stream_id"], given["key"], given.get("at"))
    except (ValueError, TypeError, KeyError):
        return None


def stop_command(stream_id: str) -> Event:
    """The event that has a stream's run stopped, wherever that is."""
    return Event(json.dumps({"stream_id": stream_id, "at": time.time()}), _STOP)


def parse_stop(event: Event) -> str | None:
    """The stream whose run is to be stopped; None for another command."""
    if event.name != _STOP:
        return None
    try:
        return exact_text(json.loads(event.data)["stream_id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def leases_event(message: str) -> Event:
    """The event by which a process tells the others which runs it holds."""
    return Event(message, _LEASES)
