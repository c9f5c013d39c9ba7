"""The bells: one connection for all streams, or one to each node of a cluster.

Nothing is tried again here. When a connection is lost, so may be bells: `wait` raises, and whoever
waits makes a new watch and reads everything again.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError
from redis.retry import Retry

from streamy_core.broker import Watch
from streamy_core.errors import Closed
from streamy_core.events import Entry, Page
from streamy_core.ids import make_id

from .entries import decode, text_of
from .names import Names
from .scripts import passing_faults
from .servers import Node, Servers

_RINGS: Final = {b"message", b"smessage"}
_CONFIRMS: Final = {b"subscribe", b"ssubscribe"}
"""A stream is named when its subscription is confirmed, too: a bell may have rung before."""

_LEAVES: Final = {b"unsubscribe", b"sunsubscribe"}
_MOST_LETTERS: Final = 100
_MOST_AT_ONCE: Final = 1_000


class RedisWatch(Watch):
    """See the module. Making one connects; raises BrokerUnavailable.

    patience:   seconds of silence after which the server is asked whether it is still there, and the
                seconds that it has for an answer.
    look_again: called after a fault: servers may have moved.
    """

    def __init__(
        self,
        servers: Servers,
        names: Names,
        *,
        patience: float,
        look_again: Callable[[], None],
        on_close: Callable[[RedisWatch], None],
    ) -> None:
        self._servers = servers
        self._names = names
        self._patience = patience
        self._look_again = look_again
        self._on_close = on_close
        self._lock = threading.RLock()
        self._waiting = threading.Lock()
        self._streams: dict[bytes, str] = {}  # by channel
        self._rung: set[str] = set()
        self._brought: dict[str, list[bytes] | None] = {}  # None: not all of it
        self._interrupted = False
        self._closed = False
        self._selector = selectors.DefaultSelector()
        self._nudge, self._nudged = socket.socketpair()
        self._nudge.setblocking(False)
        self._selector.register(self._nudged, selectors.EVENT_READ)
        self._ears: dict[Node, _Ear] = {}
        try:
            with self._faults():
                for node in servers.nodes() if servers.sharded else [next(iter(servers.nodes()))]:
                    self._hear(node)
        except BaseException:
            self.close()
            raise

    def add(self, stream_id: str) -> None:
        channel = self._names.bell(stream_id)
        with self._lock, self._faults():
            if not self._closed and channel.encode() not in self._streams:
                self._ear_for(channel).subscribe(channel)
                self._streams[channel.encode()] = stream_id

    def discard(self, stream_id: str) -> None:
        channel = self._names.bell(stream_id)
        with self._lock, self._faults():
            if not self._closed and self._streams.pop(channel.encode(), None) is not None:
                self._ear_for(channel).unsubscribe(channel)
                self._rung.discard(stream_id)
                self._brought.pop(stream_id, None)

    def wait(self, timeout: float | None) -> Collection[str]:
        end = None if timeout is None else time.monotonic() + timeout
        is_last = False
        with self._waiting:
            while (rung := self._rung_by_now()) is None and not is_last:
                left = None if end is None else max(0.0, end - time.monotonic())
                is_last = left == 0
                with self._faults():
                    self._listen(left)
        return rung or ()

    def _rung_by_now(self) -> set[str] | None:
        """None if there is nothing to return for."""
        with self._lock:
            if self._closed:
                raise Closed("this watch has been closed")
            if not (self._rung or self._interrupted):
                return None
            self._interrupted = False
            rung, self._rung = self._rung, set()
            return rung

    def brought(self, stream_id: str, cursor: str) -> Page | None:
        """See BringsEntries."""
        with self._lock:
            letters = self._brought.pop(stream_id, None)
        try:
            return _page(stream_id, cursor, letters) if letters else None
        except (ValueError, IndexError):  # somebody else's words
            return None

    def interrupt(self) -> None:
        self._interrupted = True
        with suppress(OSError):  # so much unread already that it will wake, or closed
            self._nudge.send(b"\0")

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for ear in self._ears.values():
                ear.close()
        self._on_close(self)
        self.interrupt()
        with self._waiting:
            self._selector.close()
            self._nudge.close()
            self._nudged.close()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Every fault as BrokerUnavailable; the next watch may find its servers elsewhere."""
        with passing_faults("listen to Redis"):
            try:
                yield
            except RedisError:
                self._look_again()
                raise

    def _listen(self, timeout: float | None) -> None:
        """Wait until something can be heard, or it is time to ask. Raises RedisError."""
        ears = list(self._ears.values())
        nap = min(self._patience if timeout is None else timeout, self._patience)
        ready = {
            key.data for key, _ in self._selector.select(0 if any(ear.has_more for ear in ears) else nap)
        }
        if None in ready:
            self._nudged.recv(4096)
        now = time.monotonic()
        for ear in ears:
            if ear in ready or ear.has_more:
                self._note(ear.messages())
            ear.check(now)

    def _note(self, messages: Iterable[list[Any]]) -> None:
        with self._lock:
            for kind, channel, content in messages:
                stream_id = self._streams.get(channel)
                if stream_id is None:
                    continue
                if kind in _CONFIRMS:
                    self._rung.add(stream_id)
                    self._brought[stream_id] = None
                elif kind in _RINGS:
                    self._rung.add(stream_id)
                    self._keep(stream_id, content)

    def _keep(self, stream_id: str, content: bytes) -> None:
        letters = self._brought.setdefault(stream_id, [])
        if letters is None or not content or len(letters) >= _MOST_LETTERS:
            self._brought[stream_id] = None
        else:
            letters.append(content)

    def _ear_for(self, channel: str) -> _Ear:
        if not self._servers.sharded:
            return next(iter(self._ears.values()))
        node = self._servers.node_of(channel)
        return self._ears.get(node) or self._hear(node)

    def _hear(self, node: Node) -> _Ear:
        ear = self._ears[node] = _Ear(node, sharded=self._servers.sharded, patience=self._patience)
        self._selector.register(ear.socket, selectors.EVENT_READ, ear)
        return ear


class _Ear:
    """One connection that hears the bells of one server. Its methods raise RedisError."""

    def __init__(self, node: Node, *, sharded: bool, patience: float) -> None:
        pool = node.connection_pool
        options = {name: value for name, value in pool.connection_kwargs.items() if "maint_" not in name}
        options |= {"protocol": 2, "decode_responses": False, "retry": Retry(NoBackoff(), 0)}
        options["socket_timeout"] = options.get("socket_timeout") or patience
        self._connection = pool.connection_class(**options)
        self._connection.connect()
        self._sharded = sharded
        self._patience = patience
        self._lock = threading.Lock()
        self._heard_at = time.monotonic()
        self._asked_at: float | None = None
        self._closed = False
        self.has_more = False  # read from the socket, which no selector tells
        self._leaving: Counter[bytes] = Counter()  # channels, until the server confirms

    @property
    def socket(self) -> socket.socket:
        """For a selector: redis-py has no public way to wait for several connections, or for one and more."""
        found: socket.socket = self._connection._sock
        return found

    def subscribe(self, channel: str) -> None:
        self._send("SSUBSCRIBE" if self._sharded else "SUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        with self._lock:
            self._leaving[channel.encode()] += 1
        self._send("SUNSUBSCRIBE" if self._sharded else "UNSUBSCRIBE", channel)

    def messages(self) -> list[list[Any]]:
        """What has come, each as its kind and what it is about."""
        found: list[list[Any]] = []
        with self._lock:
            # A connection that is closed would open itself again.
            while not self._closed and len(found) < _MOST_AT_ONCE and self._connection.can_read(timeout=0):
                message = self._connection.read_response()
                self._heard_at, self._asked_at = time.monotonic(), None
                if not isinstance(message, list) or len(message) != 3:
                    continue  # a PONG
                found.append(message)
                if message[0] in _LEAVES:
                    self._has_left(message[1])
        self.has_more = len(found) == _MOST_AT_ONCE
        return found

    def _has_left(self, channel: bytes) -> None:
        if not self._leaving[channel]:
            # Unasked: the channel's slot is another node's now (Redis documentation, SSUBSCRIBE).
            raise NoConnection(f"the channel {channel!r} has moved to another node")
        self._leaving[channel] -= 1
        if not self._leaving[channel]:
            del self._leaving[channel]

    def check(self, now: float) -> None:
        """After long silence, ask whether the server is there; after more, it isn't."""
        if self._asked_at is not None and now - self._asked_at >= self._patience:
            raise NoConnection(f"nothing has been heard for {now - self._heard_at:.0f} s")
        if self._asked_at is None and now - self._heard_at >= self._patience:
            self._asked_at = now
            self._send("PING")

    def close(self) -> None:
        with self._lock, suppress(RedisError, OSError):
            self._closed = True
            self._connection.disconnect()

    def _send(self, *command: str) -> None:
        with self._lock:
            if self._closed:
                raise NoConnection("it has been closed")
            self._connection.send_command(*command, check_health=False)


def _page(stream_id: str, cursor: str, letters: Iterable[bytes]) -> Page | None:
    """What these say, one behind the other, of what lies behind the cursor; None if they don't meet it."""
    entries: list[Entry] = []
    meets = False
    for letter in letters:
        begin, *texts = letter.split(b"\0")
        epoch, place, nonce = text_of(begin).split(" ")
        more = decode(stream_id, epoch, int(place), texts)
        if make_id(epoch, int(place), nonce) == cursor:
            entries += more
            meets, cursor = True, more[-1].id
        elif more[-1].id == cursor:
            meets = True  # it has been read already
        elif meets:
            return None
    return Page(tuple(entries), cursor) if meets else None
