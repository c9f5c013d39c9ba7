"""Clients that are behind, and what the slow-client policy says of them once a second."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Final

from ...observers import DisconnectReason, Observer
from ...strategies.slow_clients import Lag, SlowClientPolicy, Verdict, verdict_on
from .. import sockets
from .client import Client
from .groups import Group
from .timers import Timers

_INTERVAL: Final = 1.0

_LOOKS: Final = 3
"""How often each client is looked at before the kernel might give up on it."""


class SlowClients:
    """For the loop's thread.

    A client is behind when its socket doesn't take all that it is sent. One that the kernel has taken
    everything for, but can't send it to, is found by looks at all clients in turn, so that sending costs
    no more than sending.

    clients:       all that there are.
    give_up_after: seconds after which the kernel gives up on a peer that acknowledges nothing. It does so
        too when a peer acknowledges by small pieces, so it is left to the policy as long as a client is
        behind.
    observer: told of a client that the policy has decided against.
    drop:     closes a client.
    """

    def __init__(
        self,
        clients: Collection[Client],
        policy: SlowClientPolicy,
        give_up_after: float,
        timers: Timers,
        observer: Observer,
        drop: Callable[[Client, DisconnectReason], None],
    ) -> None:
        self._clients = clients
        self._policy = policy
        self._timers = timers
        self._give_up_after = give_up_after
        self._observer = observer
        self._drop = drop
        self._took_at: dict[Client, float] = {}
        self._taken: dict[Client, int | None] = {}
        self._checking = False
        self._looking = False
        self._to_look_at: list[Client] = []
        self._at_once = 0

    def arrived(self) -> None:
        """There is a client."""
        if not self._looking:
            self._looking = True
            self._timers.after(self._between_looks, self._look)

    def took(self, client: Client) -> None:
        """Its socket has just taken what it could, and other bytes are pending, here or in the kernel."""
        if client not in self._took_at:
            sockets.set_user_timeout(client.sock, 0.0)
        self._took_at[client] = self._timers.now()
        self._check_later()

    def discard(self, client: Client) -> None:
        """It is gone."""
        self._took_at.pop(client, None)
        self._taken.pop(client, None)

    @property
    def _between_looks(self) -> float:
        return min(_INTERVAL, self._give_up_after / _LOOKS)

    def _look(self) -> None:
        """Look at so many that all have had a look in time."""
        self._looking = False
        if not self._to_look_at:
            self._to_look_at = list(self._clients)
            share = self._between_looks / (self._give_up_after / _LOOKS)
            self._at_once = math.ceil(len(self._to_look_at) * share)
        for client in self._to_look_at[: self._at_once]:
            if client in self._clients and client not in self._took_at and sockets.is_held_back(client.sock):
                self.took(client)
        del self._to_look_at[: self._at_once]
        if self._clients:
            self.arrived()
        else:
            self._to_look_at.clear()

    def _check(self) -> None:
        self._checking = False
        for client in list(self._took_at):
            if client.pending or sockets.waiting(client.sock):
                self._judge(client)
            else:
                self.discard(client)
                sockets.set_user_timeout(client.sock, self._give_up_after)
        if self._took_at:
            self._check_later()

    def _judge(self, client: Client) -> None:
        group = client.group
        if group is None:
            return
        now = self._timers.now()
        # The kernel says that there is room long after a slow reader has begun to make it.
        if (taken := sockets.taken(client.sock)) != self._taken.get(client):
            self._taken[client] = taken
            self._took_at[client] = now
        lag = Lag(group.entries_behind(), len(client.pending), now - self._took_at[client])
        verdict = verdict_on(lag, self._policy)
        if verdict is not Verdict.WAIT:
            self._observer.slow(client.session.told, lag)
        if verdict is Verdict.DISCONNECT:
            self._drop(client, DisconnectReason.SLOW)
        elif isinstance(group, Group) and client.pending:  # else it has been given all
            group.skips = group.skips or verdict is Verdict.SKIP

    def _check_later(self) -> None:
        if not self._checking:
            self._checking = True
            self._timers.after(_INTERVAL, self._check)
