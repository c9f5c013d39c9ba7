"""Clients that read the same streams and are at the same position: they are sent the same bytes.

A lone client is a group of one. A client whose socket takes no more is split off into a group of its
own, and goes on by itself. When a group has been sent what is due, it becomes part of the leading
group of its kind, if that is at the same position; nobody waits for anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from copy import copy
from itertools import islice
from typing import NamedTuple

from ...engine.byte_reader import ByteReader
from ...engine.frames import Framing
from ...strategies.keepalive import KeepAliveScheduler
from .client import Client
from .sending import Sending
from .takeover import encode_chunk


class GroupKey(NamedTuple):
    """What groups have in common that may become one."""

    streams: tuple[str, ...]
    framing: Framing
    keep_alive: Hashable
    chunked: bool


class Group:
    """See the module. Only the loop's thread touches it, but for `rung`.

    reader:    reads for all members.
    stays:     whether its members are kept when they have been given what they missed.
    leading:   whether others of its kind join it.
    busy:      whether bytes are being sent to members, or read for them, at the moment.
    replaying: whether the replayer has the reader: it is ahead of the members then.
    held:      whether what lies back has to wait: the right to it is being looked at.
    mark:      where its reader was before what is being sent, or read: a fork of it. Only of several streams.
    skips:     whether to leave out all but the newest entries, next.
    rung:      whether there may be more to take.
    over:      whether the loop knows it no more.
    wrote_at:  when its members were last sent something.
    watched:   whether a timer looks after its keep-alives.
    data:      what is being sent to members, a slice of them at a time.
    unsent, left: those whose turn is still to come, and how many they are.
    """

    __slots__ = (
        "__weakref__",
        "busy",
        "data",
        "held",
        "keep_alive",
        "key",
        "leading",
        "left",
        "mark",
        "members",
        "over",
        "reader",
        "replaying",
        "rung",
        "skips",
        "stays",
        "unsent",
        "watched",
        "wrote_at",
    )

    def __init__(self, reader: ByteReader, client: Client) -> None:
        session = client.session
        self.key: GroupKey = GroupKey(
            session.streams, reader.framing, _hashable(session.keep_alive), client.chunked
        )
        self.keep_alive: KeepAliveScheduler = session.keep_alive
        self.stays: bool = client.stays
        self.reader: ByteReader = reader
        self.members: dict[Client, None] = {client: None}
        client.group = self
        self.leading: bool = False
        self.busy: bool = False
        self.replaying: bool = False
        self.held: bool = False
        self.skips: bool = False
        self.rung: bool = False
        self.over: bool = False
        self.watched: bool = False
        self.wrote_at: float = 0.0
        self.clear()

    def clear(self) -> None:
        """Nothing is being sent, and nobody who has left is held on to."""
        self.data: bytes = b""
        self.unsent: Iterator[Client] = iter(())
        self.left: int = 0
        self.mark: ByteReader | None = None

    @property
    def is_blocked(self) -> bool:
        """Whether its only member has bytes pending."""
        return len(self.members) == 1 and bool(next(iter(self.members)).pending)

    def start_sending(self, data: bytes, head: bytes = b"") -> None:
        """From now on this is what is being sent to those who are members now.

        head: what goes before it as it is.
        """
        members = list(self.members)
        self.data = head + (encode_chunk(data) if self.key.chunked else data)
        self.unsent = iter(members)
        self.left = len(members)

    @property
    def sent(self) -> bool:
        """See `Outgoing`."""
        return self.left <= 0

    def next(self, most: int) -> Iterator[tuple[Client, bytes]]:
        """See `Outgoing`."""
        data = self.data
        self.left -= most
        return ((client, data) for client in islice(self.unsent, most) if client.group is self)

    def send_all_due(self, sending: Sending, tell: Callable[[Group, bytes, int], None]) -> None:
        """Send what windows hold for it, as far as its members' sockets take it at once.

        tell: told of each chunk, with how many events it has.
        """
        while True:
            sending.send(self, self.left)
            self.clear()
            if self.replaying or self.held or not self.members or self.is_blocked:
                return
            if not (data := self.reader.take()):
                return
            self.start_sending(data)
            tell(self, data, self.reader.took)

    def entries_behind(self) -> int | None:
        """How many entries its members are behind; None if more than windows hold."""
        return self.reader.entries_behind()

    def split(self, client: Client) -> Group:
        """A group for this member alone, at this position; this one, if it has no other."""
        if len(self.members) == 1:
            return self
        del self.members[client]
        return Group(self.reader.fork(), client)

    def split_without(self, client: Client, lost: Collection[str]) -> Group:
        """A group for this member alone, which reads these streams no more, and has been sent all so far.

        What is on its way to the member, or being read for it, is read again without them.
        """
        waits = self.replaying or client in copy(self.unsent)
        reader = self.mark if waits and self.mark is not None else self.reader
        self.members.pop(client)
        alone = Group(reader.fork(), client)
        alone.reader.leave_out(lost)
        return alone

    def note_place(self) -> None:
        """What comes next may have to be read again for some."""
        self.mark = self.reader.fork() if len(self.reader.position) > 1 else None

    def absorb(self, other: Group) -> bool:
        """Make the other's members this one's, if both are at the same position; else False."""
        if self.replaying or not other.reader.is_at(self.reader):
            return False
        for client in other.members:
            client.group = self
        self.members |= other.members
        other.members = {}
        return True


def _hashable(rule: object) -> Hashable:
    try:
        hash(rule)
    except TypeError:
        return id(rule)
    return rule
