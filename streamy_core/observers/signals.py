"""Tells blinker's signals, as Flask's own are."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Any, Final

from blinker import NamedSignal

from ..signals import client_connected, client_disconnected, gap, slow_client, stream_ended
from ..strategies.slow_clients import Lag
from .base import ClientInfo, Observer
from .words import DisconnectReason, GapCause

logger: Final = logging.getLogger("streamy.signals")


class Signals(Observer):
    """Sends the signals of `streamy_core.signals`. sender: whom they come from."""

    def __init__(self, sender: Hashable) -> None:
        self._sender = sender

    def connected(self, client: ClientInfo, delivery: str) -> None:
        self._send(client_connected, streams=client.streams, key=client.key, delivery=delivery)

    def disconnected(self, client: ClientInfo, delivery: str, reason: DisconnectReason) -> None:
        self._send(
            client_disconnected, streams=client.streams, key=client.key, delivery=delivery, reason=reason
        )

    def stream_ended(self, stream_id: str) -> None:
        self._send(stream_ended, stream_id=stream_id)

    def gap(self, stream_id: str, cursor: str, goes_on: str, cause: GapCause) -> None:
        self._send(gap, stream_id=stream_id, cursor=cursor, goes_on=goes_on, cause=cause)

    def slow(self, client: ClientInfo, lag: Lag) -> None:
        self._send(slow_client, streams=client.streams, key=client.key, lag=lag)

    def _send(self, signal: NamedSignal, **what: Any) -> None:
        # One by one: blinker's own `send` would stop at the first receiver that fails.
        for receiver in signal.receivers_for(self._sender) if signal.receivers else ():
            try:
                receiver(self._sender, **what)
            except Exception:
                logger.exception("a receiver of %s failed", signal.name)
