"""Clients of the loop, and the audiences they form.

An audience is all clients that read the same streams and are at the same place. It has one
connection, whose bytes go to every member, so that a member is little more than a socket. A client
that can't take its bytes leaves the audience with a connection of its own, and joins again once it
is level.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Hashable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

from ...strategies.keepalive import KeepAliveScheduler
from ..connection import Connection
from .takeover import LAST_CHUNK, encode_chunk

_DISCARD: Final = 65_536


class AudienceKey(NamedTuple):
    """What the members of an audience have in common."""

    streams: tuple[str, ...]
    default_name: str
    keep_alive: Hashable
    chunked: bool


class Client:
    """One client's socket, and what it hasn't been sent yet. Only the loop's thread touches it.

    connection: its own, unless it is in an audience.
    audience:   the one it is level with, or None.
    home:       the audience that knows of it: as a member, waiting, or astray.
    pending:    bytes that its socket hasn't taken.
    took_at:    when its socket last took some, while there are pending ones.
    key:        whom it belongs to: a user, an address; None if nobody said.
    chunked:    whether its bytes go out as chunks (RFC 9112 section 7.1), as HTTP/1.1 allows. Some
                clients read a body without chunks by blocks, and would wait until one is full.
    """

    __slots__ = (
        "audience",
        "chunked",
        "closed",
        "connection",
        "home",
        "keep_alive",
        "key",
        "pending",
        "skips",
        "sock",
        "streams",
        "took_at",
        "waits_since",
        "watched",
    )

    def __init__(
        self,
        sock: socket.socket,
        connection: Connection,
        keep_alive: KeepAliveScheduler,
        *,
        pending: bytes = b"",
        key: str | None = None,
        chunked: bool = False,
    ) -> None:
        self.sock = sock
        self.connection: Connection | None = connection
        self.audience: Audience | None = None
        self.home: Audience | None = None
        self.keep_alive = keep_alive
        self.pending: memoryview | bytes = pending
        self.took_at = 0.0
        self.key = key
        self.chunked = chunked
        self.streams = tuple(connection.places)
        self.skips = False
        self.closed = False
        self.waits_since = 0  # the version of its audience
        self.watched = False  # for being writable

    def audience_key(self) -> AudienceKey:
        """The audience that this client will join, by its own connection."""
        assert self.connection is not None
        rule: Any = self.keep_alive
        try:
            hash(rule)
        except TypeError:
            rule = id(rule)
        return AudienceKey(self.streams, self.connection.default_name, rule, self.chunked)

    def framed(self, data: bytes) -> bytes:
        """The data as it goes out to this client."""
        return encode_chunk(data) if self.chunked else data

    def watch_writable(self, selector: selectors.BaseSelector, wanted: bool) -> None:
        """Have the selector tell, or no longer tell, when the socket takes more."""
        if self.watched is not wanted:
            self.watched = wanted
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
            selector.modify(self.sock, events, self)

    def is_there(self) -> bool:
        """Whether it still listens. What it says, after its request, is not for us."""
        try:
            return bool(self.sock.recv(_DISCARD))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def say_goodbye(self, data: bytes) -> None:
        """Send what is pending, and then this as the last, as far as the socket takes it."""
        with suppress(OSError):
            if self.pending:
                self.pending = self.pending[self.send(self.pending) :]
            if not self.pending:  # in the middle of a frame nothing can be said
                self.send(self.framed(data) + LAST_CHUNK if self.chunked else data)
            # Unread bytes would make the close a reset, and that throws away what is on its way.
            self.sock.recv(_DISCARD)

    def send(self, data: bytes | memoryview) -> int:
        """Send what the socket takes without blocking; how many bytes. Raises OSError if it is gone."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0


class Audience:
    """See the module. Only the loop's thread touches it.

    wrote_at:      when its members were last sent something.
    watched:       whether a timer looks after its keep-alives.
    waiting:       clients that would be members but for being ahead of it, until it has caught up.
    astray:        members that fell behind. They keep it there, so that they find back.
    busy:          whether bytes are being sent to members, or read for them, at the moment.
    replaying:     whether the replayer has the connection: it is ahead of its members then.
    version:       how often it has been given something, so that who waits knows when to look again.
    rung:          whether there may be more to take.
    over:          whether the last one has left, and the loop knows it no more.
    data:          what is being sent to members, a slice of them at a time.
    unsent, left:  those whose turn is still to come, and how many they are.
    """

    __slots__ = (
        "__weakref__",
        "astray",
        "busy",
        "connection",
        "data",
        "keep_alive",
        "key",
        "left",
        "members",
        "over",
        "replaying",
        "rung",
        "unsent",
        "version",
        "waiting",
        "watched",
        "wrote_at",
    )

    def __init__(self, key: AudienceKey, connection: Connection, keep_alive: KeepAliveScheduler) -> None:
        self.key = key
        self.connection = connection
        self.keep_alive = keep_alive
        self.wrote_at = 0.0
        self.watched = False
        self.members: dict[Client, None] = {}
        self.waiting: dict[Client, None] = {}
        self.astray: dict[Client, None] = {}
        self.busy = False
        self.replaying = False
        self.version = 0
        self.rung = False
        self.over = False
        self.sent()

    def sent(self) -> None:
        """Nothing is being sent, and nobody who has left is held on to."""
        self.data = b""
        self.unsent: Iterator[Client] = iter(())
        self.left = 0

    def start_sending(self, data: bytes) -> None:
        """From now on this is what is being sent to those who are members now."""
        members = list(self.members)
        self.data = encode_chunk(data) if self.key.chunked else data
        self.unsent = iter(members)
        self.left = len(members)

    def admit(self, client: Client) -> bool:
        """Make the client a member if it is level; else False."""
        connection = client.connection
        assert connection is not None
        if self.replaying or not connection.is_level_with(self.connection):
            return False
        self.forget(client)
        self.members[client] = None
        client.audience = client.home = self
        client.connection = None
        return True

    def let_wait(self, client: Client) -> None:
        """The client isn't level, but will be once the audience has caught up."""
        self.forget(client)
        self.waiting[client] = None
        client.home = self
        client.waits_since = self.version

    def send_astray(self, client: Client) -> None:
        """The client waits no longer, and is on its own until it is level."""
        del self.waiting[client]
        self.astray[client] = None

    def dismiss(self, client: Client) -> None:
        """The client goes on by itself, from here."""
        del self.members[client]
        self.astray[client] = None
        client.audience = None
        client.connection = self.connection.fork()

    def forget(self, client: Client) -> None:
        """The client is gone, or about to be something else here."""
        self.members.pop(client, None)
        self.waiting.pop(client, None)
        self.astray.pop(client, None)
        client.audience = client.home = None

    @property
    def empty(self) -> bool:
        """Whether nobody is there or about to be."""
        return not (self.members or self.waiting or self.astray)
