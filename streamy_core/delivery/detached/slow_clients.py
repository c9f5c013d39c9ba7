"""Clients that are behind, and what the slow-client policy says of them once a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ...observers import DisconnectReason, Observer
from ...strategies.slow_clients import Lag, SlowClientPolicy, Verdict, verdict_on
from .. import sockets
from .client import Client
from .timers import Timers

_INTERVAL: Final = 1.0


class SlowClients:
    """For the loop's thread.

    observer: told of a client that the policy has decided against.
    drop:     closes a client.
    """

    def __init__(
        self,
        policy: SlowClientPolicy,
        timers: Timers,
        *,
        observer: Observer,
        drop: Callable[[Client, DisconnectReason], None],
    ) -> None:
        self._policy = policy
        self._timers = timers
        self._observer = observer
        self._drop = drop
        self._took_at: dict[Client, float] = {}
        self._taken: dict[Client, int | None] = {}
        self._checking = False

    def took(self, client: Client) -> None:
        """Its socket has just taken some bytes, and others are pending."""
        self._took_at[client] = self._timers.now()
        self._check_later()

    def discard(self, client: Client) -> None:
        """It has taken everything, or is gone."""
        self._took_at.pop(client, None)
        self._taken.pop(client, None)

    def _check(self) -> None:
        self._checking = False
        now = self._timers.now()
        for client, took_at in list(self._took_at.items()):
            group = client.group
            if group is None:
                continue
            # The kernel says that there is room long after a slow reader has begun to make it.
            if (taken := sockets.taken(client.sock)) != self._taken.get(client):
                self._taken[client] = taken
                self._took_at[client] = took_at = now
            lag = Lag(group.reader.entries_behind(), len(client.pending), now - took_at)
            verdict = verdict_on(lag, self._policy)
            if verdict is not Verdict.WAIT:
                self._observer.slow(client.session, lag)
            if verdict is Verdict.DISCONNECT:
                self._drop(client, DisconnectReason.SLOW)
            group.skips = group.skips or verdict is Verdict.SKIP
        if self._took_at:
            self._check_later()

    def _check_later(self) -> None:
        if not self._checking:
            self._checking = True
            self._timers.after(_INTERVAL, self._check)
