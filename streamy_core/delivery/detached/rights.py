"""Rights of the loop's clients, as they are looked at again: what waits for that, what is taken away."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...observers import DisconnectReason, Observer
from ..rechecks import Rechecks
from .client import Client
from .groups import Group
from .joint import Member
from .joints import Joints
from .sending import DELIVERY


class Rights:
    """For the loop's thread.

    call:       any thread: has the loop call something with these arguments.
    note:       has the loop look whether something is due to a group.
    attach:     has the hub wake a group.
    forget:     told of a group that has no members any more.
    disconnect: sends a client away.
    """

    def __init__(
        self,
        rechecks: Rechecks,
        joints: Joints,
        observer: Observer,
        *,
        call: Callable[..., None],
        note: Callable[[Group], None],
        attach: Callable[[Group], None],
        forget: Callable[[Group], None],
        disconnect: Callable[[Client, DisconnectReason], None],
    ) -> None:
        self._rechecks = rechecks
        self._joints = joints
        self._observer = observer
        self._call = call
        self._note = note
        self._attach = attach
        self._forget = forget
        self._disconnect = disconnect

    def arrived(self, client: Client, group: Group) -> bool:
        """A client is there, alone in its group. Whether what lies back has to wait."""
        self._add(client)
        if group.reader.is_behind:
            group.held = self._rechecks.hold(client.session, partial(self._call, self._let_go_on, client))
        return group.held

    def gone(self, client: Client) -> None:
        """It is there no more."""
        self._rechecks.discard(client.session)

    def _add(self, client: Client) -> None:
        if client.session.recheck is not None:
            self._rechecks.add(client.session, partial(self._call, self._lose, client))

    def _let_go_on(self, client: Client) -> None:
        if isinstance(group := client.group, Group):
            group.held = False
            self._note(group)

    def _lose(self, client: Client, names: frozenset[str]) -> None:
        """Take these streams from a client. One with bytes pending has to come back for its others."""
        if (place := client.group) is None or not (lost := names.intersection(client.session.streams)):
            return
        session = client.session.without(lost)
        if not session.streams or client.pending:
            self._disconnect(client, DisconnectReason.REVOKED)
            return
        self._rechecks.discard(client.session)
        client.session = session
        self._add(client)
        if isinstance(place, Member):
            group = self._joints.release(place, lost)
        else:
            group = self._split(place, client, lost)
        if not group.reader.reading:  # its others have ended
            self._disconnect(client, DisconnectReason.REVOKED)
        else:
            self._observer.revoked(session.told, DELIVERY, lost)

    def _split(self, group: Group, client: Client, lost: frozenset[str]) -> Group:
        alone = group.split_without(client, lost)
        if group.reader.attached:
            self._attach(alone)  # before windows are forgotten
        else:
            self._note(alone)
        if not group.members:
            self._forget(group)
        return alone
