"""Sending clients away in every process: orders go through the broker, on a stream of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Final

from ..engine.hub import Hub
from ..engine.reader import Reader
from ..errors import BrokerUnavailable
from ..events import CONTROL, Event

_PAUSE: Final = 1.0

Apply = Callable[[str | None, str | None], None]
"""Sends clients away, by stream id and key. Must not block."""


def order(stream_id: str | None, key: str | None) -> Event:
    """The event that sends clients away wherever they are."""
    return Event(json.dumps({"stream_id": stream_id, "key": key}), "disconnect")


class Control:
    """Follows the orders given from now on, on the hub's thread. Raises BrokerUnavailable, Closed."""

    def __init__(self, hub: Hub, apply: Apply) -> None:
        self._apply = apply
        self._lock = threading.Lock()
        self._reader = Reader(hub, {CONTROL: None})
        self._reader.attach(self._follow)

    def _follow(self) -> None:
        with self._lock:
            try:
                self._apply_orders()
            except BrokerUnavailable:
                again = threading.Timer(_PAUSE, self._follow)
                again.daemon = True
                again.start()

    def _apply_orders(self) -> None:
        frames = self._reader.due()
        if self._reader.lagging:
            frames = self._reader.read_lagging()
        for frame in frames:
            self._reader.passed(frame)
            if frame.entry.event.name == "disconnect":
                given = json.loads(frame.entry.event.data)
                self._apply(given["stream_id"], given["key"])
