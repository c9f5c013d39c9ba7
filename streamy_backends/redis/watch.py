"""The bells: one connection for all streams, or one to each node of a cluster.

Nothing is tried again here. When a connection is lost, so may be bells: `wait` raises, and whoever
waits makes a new watch and reads everything again.
"""

from __future__ import annotations

import hashlib
import hmac
import selectors
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Final

from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError

from streamy_core.broker import BaseWatch, Entry, Page, Waker, make_id

from .entries import decode, text_of
from .faults import faults
from .keys import Keys
from .probe import Probe
from .servers import Node, Servers
from .subscriber import MESSAGE, SUBSCRIBED, Subscriber

_MAX_BROUGHT: Final = 100
"""Messages that are kept of one stream until somebody asks for their entries."""


class RedisWatch(BaseWatch):
    """See the module. Making one connects; raises BrokerUnavailable.

    timeout:    as of a Subscriber.
    ring:       rings the bell on a channel, by a connection for commands. Raises RedisError.
    rediscover: called after a fault: servers may have moved.
    """

    def __init__(
        self,
        servers: Servers,
        keys: Keys,
        *,
        timeout: float,
        ring: Callable[[str], object],
        rediscover: Callable[[], None],
        on_close: Callable[[BaseWatch], None],
    ) -> None:
        super().__init__(on_close)
        self._servers = servers
        self._keys = keys
        self._timeout = timeout
        self._ring = ring
        self._rediscover = rediscover
        self._streams: dict[bytes, str] = {}  # by channel
        self._brought: dict[str, list[bytes] | None] = {}  # None: not all of it
        self._secrets: dict[str, bytes] = {}  # what the bells of a stream are signed with
        self._selector = selectors.DefaultSelector()
        self._waker = Waker(self._selector)
        self._subscribers: dict[Node, Subscriber] = {}
        self._probes: dict[Subscriber, Probe] = {}
        try:
            with self._faults():
                self._subscribe_at_first(servers.nodes())
        except BaseException:
            self.close()
            raise

    def add(self, stream_id: str) -> None:
        channel = self._keys.channel(stream_id)
        with self._lock, self._faults():
            if not self._closed and stream_id not in self._names:
                self._subscriber_for(channel).subscribe(channel)
                self._streams[channel.encode()] = stream_id
                super().add(stream_id)

    def discard(self, stream_id: str) -> None:
        channel = self._keys.channel(stream_id)
        with self._lock, self._faults():
            super().discard(stream_id)
            self._brought.pop(stream_id, None)
            self._secrets.pop(stream_id, None)
            if not self._closed and self._streams.pop(channel.encode(), None) is not None:
                self._subscriber_for(channel).unsubscribe(channel)

    def learn(self, stream_id: str, secret: str) -> None:
        """What the bells of a stream are signed with, as whoever reads its log knows. Any thread."""
        with self._lock:
            if stream_id in self._names:
                self._secrets[stream_id] = secret.encode()

    def brought(self, stream_id: str, cursor: str) -> Page | None:
        """See BringsEntries."""
        with self._lock:
            messages = self._brought.pop(stream_id, None)
            secret = self._secrets.get(stream_id)
        if not messages or secret is None:
            return None
        state = self._keys.state(stream_id).encode()
        try:
            return _page(stream_id, cursor, [_signed(message, secret, state) for message in messages])
        except (ValueError, IndexError):  # somebody else's words
            return None

    def _listen(self, timeout: float | None) -> None:
        subscribers = list(self._subscribers.values())
        now = time.monotonic()
        probes = list(self._probes.values()) if self._names else []
        pause: float = min(
            [self._timeout if timeout is None else min(timeout, self._timeout)]
            + [probe.due_in(now) for probe in probes]
        )
        if any(subscriber.has_more for subscriber in subscribers):
            pause = 0
        ready = {key.data for key, _ in self._selector.select(pause)}
        if self._waker in ready:
            self._waker.clear()
        now = time.monotonic()
        with self._faults():
            for subscriber in subscribers:
                if subscriber in ready or subscriber.has_more:
                    self._note(subscriber, subscriber.messages())
                subscriber.check(now)
            for probe in probes:
                probe.check(now)

    def _wake(self) -> None:
        self._waker.wake()

    def _free(self) -> None:
        with self._lock:
            for subscriber in self._subscribers.values():
                subscriber.close()
            self._selector.close()
            self._waker.close()

    @contextmanager
    def _faults(self) -> Generator[None]:
        """Every fault as BrokerUnavailable; the next watch may find its servers elsewhere."""
        with faults("listen to Redis"):
            try:
                yield
            except RedisError:
                self._rediscover()
                raise

    def _note(self, subscriber: Subscriber, messages: Iterable[list[Any]]) -> None:
        """Mark the streams that these messages name, and keep the entries that they bring."""
        with self._lock:
            rung: set[str] = set()
            for kind, channel, content in messages:
                if kind in MESSAGE and subscriber in self._probes:
                    self._probes[subscriber].heard(time.monotonic())
                stream_id = self._streams.get(channel)
                if stream_id is None:
                    continue
                if kind in SUBSCRIBED:
                    # It is named when its subscription is confirmed, too: a bell may have rung before.
                    self._brought[stream_id] = None
                    rung.add(stream_id)
                elif kind in MESSAGE:
                    self._keep(stream_id, content)
                    rung.add(stream_id)
            self._mark(rung)

    def _keep(self, stream_id: str, content: bytes) -> None:
        kept = self._brought.setdefault(stream_id, [])
        if kept is None or not content or len(kept) >= _MAX_BROUGHT:
            self._brought[stream_id] = None
        else:
            kept.append(content)

    def _subscriber_for(self, channel: str) -> Subscriber:
        if not self._servers.sharded:
            return next(iter(self._subscribers.values()))
        node = self._servers.node_of(channel)
        return self._subscribers.get(node) or self._subscribe_at(node)

    def _subscribe_at_first(self, nodes: Iterable[Node]) -> None:
        """At one that is there. The others of a cluster are subscribed at when a stream is theirs."""
        fault: RedisError = NoConnection("there are no servers")
        for node in nodes:
            try:
                self._subscribe_at(node)
            except RedisError as error:
                fault = error
            else:
                return
        raise fault

    def _subscribe_at(self, node: Node) -> Subscriber:
        subscriber = Subscriber(node, sharded=self._servers.sharded, timeout=self._timeout)
        self._subscribers[node] = subscriber
        if name := self._servers.name_at(node):
            channel = self._keys.channel(name)
            subscriber.subscribe(channel)
            self._probes[subscriber] = Probe(channel, self._ring, time.monotonic())
        self._selector.register(subscriber.socket, selectors.EVENT_READ, subscriber)
        return subscriber


def _page(stream_id: str, cursor: str, messages: Iterable[bytes]) -> Page | None:
    """What these say, one after the other, of what comes after the cursor; None if they don't meet it."""
    entries: list[Entry] = []
    meets = False
    for message in messages:
        start, *texts = message.split(b"\0")
        epoch, before, nonce, count = text_of(start).split(" ")
        if len(texts) != 2 * int(count):
            return None  # somebody else's entries, which aren't as ours
        found = decode(stream_id, epoch, int(before), texts)
        if make_id(epoch, int(before), nonce) == cursor:
            entries += found
            meets, cursor = True, found[-1].id
        elif found[-1].id == cursor:
            meets = True  # it has been read already
        elif meets:
            return None
    return Page(tuple(entries), cursor) if meets else None


def _signed(message: bytes, secret: bytes, state: bytes) -> bytes:
    """What a message says, without its signature: see append.lua. Raises ValueError if that is another's.

    Whoever may publish on a channel needn't be one who may write, or read, the log.
    """
    signature, _, said = message.partition(b" ")
    inner = hashlib.sha1(b"%b%b\0%b" % (secret, state, said)).hexdigest()
    expected = hashlib.sha1(secret + inner.encode()).hexdigest()
    if not hmac.compare_digest(signature, expected.encode()):
        raise ValueError("this is no bell of ours")
    return said
