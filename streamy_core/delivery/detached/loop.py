"""One event loop per process that owns the sockets of all detached clients.

All runs on one thread, but for what says "any thread". It never blocks: reading the log is the
replayer's. It works in bounded slices, so that no large group or long replay holds up others.
"""

from __future__ import annotations

import logging
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from ...engine.byte_reader import ByteReader
from ...engine.reader import FIRST_SLICE
from ...errors import Closed
from ...observers import DisconnectReason, Observer
from ...strategies.slow_clients import SlowClientPolicy
from ...wire import KEEP_ALIVE
from ..delivery import Chosen
from ..replayer import Replayer
from ..session import Session
from .client import Client
from .groups import Group, GroupKey
from .keepalives import KeepAlives
from .slow_clients import SlowClients
from .timers import Expiries, Timers
from .waker import LoopWaker

SENDS: Final = 256
"""How many sends are made before everything else gets its turn."""

DELIVERY: Final = "detached"

logger: Final = logging.getLogger("streamy.loop")


class Arrival(NamedTuple):
    """A client that is to be taken care of, its reader, and the head of its response."""

    client: Client
    reader: ByteReader
    head: bytes


class Loop:
    """See the module.

    policy:   what happens to slow clients.
    last_bytes: makes those for a client that is to come back.
    gone:     told of clients that are no longer connected.
    concerned: whether a command means a client that has been given since its request began.
    observer: told what happens.
    """

    def __init__(
        self,
        replayer: Replayer,
        *,
        policy: SlowClientPolicy,
        last_bytes: Callable[[], bytes],
        gone: Callable[[Client, DisconnectReason], None],
        concerned: Callable[[Session], bool],
        observer: Observer,
    ) -> None:
        self._replayer = replayer
        self._last_bytes = last_bytes
        self._gone = gone
        self._concerned = concerned
        self._observer = observer
        self._clients: dict[Client, None] = {}
        self._leading: dict[GroupKey, Group] = {}
        self._sending: deque[Group] = deque()
        self._rung: deque[Group] = deque()
        self._arrivals: deque[Arrival] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._timers = Timers(time.monotonic)
        self._expiries = Expiries(self._timers, self._expire)
        self._keep_alives = KeepAlives(self._timers, lambda group: self._start_sending(group, KEEP_ALIVE))
        self._slow_clients = SlowClients(policy, self._timers, observer=observer, drop=self._drop)
        self._selector = selectors.DefaultSelector()
        self._waker = LoopWaker(self._selector)
        self._stopping = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streamy-loop", daemon=True)
        self._thread.start()

    def adopt(self, arrival: Arrival) -> None:
        """Take care of this client from now on; just close it if the loop has ended. Any thread."""
        self._arrivals.append(arrival)
        self._waker.wake()
        if self._over.is_set():
            self._close_arrivals()

    def disconnect(self, chosen: Chosen, reason: DisconnectReason) -> None:
        """Tell all clients that are `chosen` to come back, and close them. Any thread."""
        self._call(partial(self._disconnect_chosen, chosen, reason))

    def shutdown(self, timeout: float) -> None:
        """Disconnect all clients, with what is at hand, and end, in `timeout` seconds. Any thread."""
        self._call(self._shut_down)
        if threading.current_thread() is not self._thread:
            self._over.wait(timeout)

    def _call(self, action: Callable[[], None]) -> None:
        self._calls.append(action)
        self._waker.wake()

    def _ring(self, group: Group) -> None:
        """The hub's wake for a group: any thread."""
        if not group.rung:
            group.rung = True
            self._rung.append(group)
            self._waker.wake()

    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    self._turn()
                except Exception:
                    # Whatever it is: a loop that dies leaves all clients without a word.
                    logger.exception("the event loop goes on after an error")
        finally:
            self._selector.close()
            self._waker.close()
            self._over.set()
            self._close_arrivals()

    def _close_arrivals(self) -> None:
        """Close those who have come too late. They will be back."""
        with suppress(IndexError):
            while True:
                client = self._arrivals.popleft().client
                client.sock.close()
                self._gone(client, DisconnectReason.SHUTDOWN)

    def _turn(self) -> None:
        self._waker.before_wait()
        something = self._sending or self._calls or self._arrivals or self._rung
        ready = self._selector.select(0.0 if something else self._timers.due_in())
        self._waker.after_wait()
        for key, mask in ready:
            client: Client | LoopWaker = key.data
            if isinstance(client, LoopWaker):
                client.clear()
            elif mask & selectors.EVENT_READ and not self._still_there(client):
                continue
            elif mask & selectors.EVENT_WRITE:
                self._send_pending(client)
        self._take_arrivals(SENDS)
        for _ in range(min(len(self._calls), SENDS)):
            self._calls.popleft()()
        for _ in range(min(len(self._rung), SENDS)):
            self._advance(self._rung.popleft())
        self._send_to_groups()
        self._timers.run()

    def _take_arrivals(self, most: int) -> None:
        for _ in range(min(len(self._arrivals), most)):
            self._arrive(self._arrivals.popleft())

    def _arrive(self, arrival: Arrival) -> None:
        client = arrival.client
        self._clients[client] = None
        self._selector.register(client.sock, selectors.EVENT_READ, client)
        if client.stays:
            self._observer.connected(client.session, DELIVERY)
        if (expiry := client.expiry) is not None:
            self._expiries.add(client, expiry.seconds)
        if self._concerned(client.session):
            client.pending = arrival.head
            self._disconnect(client, DisconnectReason.DISCONNECTED)
            return
        group = Group(arrival.reader, client)
        group.busy = True
        group.start_sending(arrival.reader.take(), arrival.head)
        self._observer.delivered(DELIVERY, group.key.streams, 1, len(group.data))
        self._send_some(group, 1)
        self._finish(group)

    def _advance(self, group: Group) -> None:
        """Give the group what is due to it, if anything is."""
        if group.busy or group.over:
            return  # a busy one stays rung, and is looked after when it has finished
        group.rung = False
        reader = group.reader
        if group.skips:
            group.skips = False
            self._replay(group, reader.skip_to_newest)
        elif group.stays and not reader.attached and reader.level and not reader.backlog:
            self._settle(group)
        elif data := reader.take():
            self._start_sending(group, data)
        elif reader.finished:
            self._disconnect_all(group, DisconnectReason.ENDED)
        elif reader.lagging or not group.stays:
            self._replay(group, reader.catch_up if group.stays else reader.catch_up_with_all)
        else:
            self._settle(group)

    def _start_sending(self, group: Group, data: bytes) -> None:
        if group.over:
            return
        group.busy = True
        self._keep_alives.wrote(group)
        group.start_sending(data)
        self._sending.append(group)
        self._observer.delivered(DELIVERY, group.key.streams, group.left, len(data))

    def _send_to_groups(self) -> None:
        left = SENDS
        while self._sending and left > 0:
            group = self._sending.popleft()
            left -= self._send_some(group, left)
            if group.left > 0:
                self._sending.append(group)
            else:
                self._finish(group)

    def _send_some(self, group: Group, most: int) -> int:
        data, size = group.data, len(group.data)
        sends = min(most, group.left)
        group.left -= sends
        for client in islice(group.unsent, sends):
            if client.group is not group:
                continue
            try:
                sent = client.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(client, DisconnectReason.GONE)
                continue
            if sent != size:
                self._block(client, memoryview(data)[sent:])
        return max(sends, 1)

    def _send_all_due(self, group: Group) -> None:
        """Send what windows hold for the group, as far as its members' sockets take it at once."""
        while True:
            self._send_some(group, group.left)
            group.clear()
            if group.replaying or not group.members or group.is_blocked:
                return
            if not (data := group.reader.take()):
                return
            group.start_sending(data)

    def _block(self, client: Client, rest: memoryview) -> None:
        """The client's socket takes no more for now: it goes on by itself when it does."""
        assert client.group is not None
        alone = client.group.split(client)
        alone.busy = True
        self._lead_no_more(alone)
        alone.reader.slice_bytes = FIRST_SLICE
        client.pending = rest
        self._selector.modify(client.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
        self._slow_clients.took(client)

    def _finish(self, group: Group) -> None:
        """All members have been sent what was due: go on, unless the only one has bytes pending."""
        group.clear()
        if group.is_blocked:
            return
        group.busy = False
        reader = group.reader
        if group.rung or reader.more or not reader.attached or not reader.reading:
            group.rung = True  # again when the others have had their turn
            self._rung.append(group)
        elif not group.leading:
            self._settle(group)

    def _settle(self, group: Group) -> None:
        """Nothing is due: become part of the leading group, if that is at the same position."""
        if not group.stays:
            self._disconnect_all(group, DisconnectReason.BUSY)
            return
        leading = self._leading.get(group.key)
        if leading is None:
            self._leading[group.key] = group
            group.leading = True
        elif leading is not group and leading.absorb(group):
            self._forget(group)
            return
        if not group.reader.attached:
            self._attach(group)

    def _attach(self, group: Group) -> None:
        try:
            group.reader.attach(partial(self._ring, group))
        except Closed:  # the loop is about to be shut down
            return
        self._ring(group)  # something may have come before the hub knew of it
        if not group.watched:
            self._keep_alives.wrote(group)

    def _forget(self, group: Group) -> None:
        """It has no members any more."""
        group.over = True
        self._lead_no_more(group)
        group.reader.detach()

    def _lead_no_more(self, group: Group) -> None:
        if group.leading:
            group.leading = False
            del self._leading[group.key]

    def _send_pending(self, client: Client) -> None:
        try:
            sent = client.send(client.pending)
        except OSError:
            self._drop(client, DisconnectReason.GONE)
            return
        client.pending = client.pending[sent:]
        if client.pending:
            if sent:
                self._slow_clients.took(client)
        elif client.group is not None:
            client.pending = b""
            self._selector.modify(client.sock, selectors.EVENT_READ, client)
            self._slow_clients.discard(client)
            self._finish(client.group)

    def _still_there(self, client: Client) -> bool:
        """Whether a client that has become readable is still there; if not, it is dropped."""
        if client.is_there():
            return True
        self._drop(client, DisconnectReason.GONE)
        return False

    def _expire(self, client: Client) -> None:
        if (expiry := client.expiry) is not None:
            self._disconnect(client, expiry.reason)

    def _disconnect_chosen(self, chosen: Chosen, reason: DisconnectReason) -> None:
        self._take_arrivals(len(self._arrivals))
        for client in [client for client in self._clients if chosen(client.session)]:
            self._disconnect(client, reason)

    def _disconnect_all(self, group: Group, reason: DisconnectReason) -> None:
        for client in list(group.members):
            self._disconnect(client, reason)

    def _shut_down(self) -> None:
        self._take_arrivals(len(self._arrivals))
        for group in {client.group: None for client in self._clients}:
            if group is not None:
                self._send_all_due(group)
        for client in list(self._clients):
            self._disconnect(client, DisconnectReason.SHUTDOWN)
        self._stopping = True

    def _disconnect(self, client: Client, reason: DisconnectReason) -> None:
        """Close a client that is to come back after a while, unless its streams have ended."""
        client.send_last(b"" if reason is DisconnectReason.ENDED else self._last_bytes())
        self._drop(client, reason)

    def _drop(self, client: Client, reason: DisconnectReason) -> None:
        if client not in self._clients:
            return
        del self._clients[client]
        self._slow_clients.discard(client)
        self._expiries.discard(client)
        self._selector.unregister(client.sock)
        client.sock.close()
        group, client.group = client.group, None
        if group is not None:
            group.members.pop(client, None)
            if not group.members:
                self._forget(group)
        self._gone(client, reason)

    def _replay(self, group: Group, action: Callable[[], bytes]) -> None:
        """Have the replayer read the log for the group."""
        group.busy = group.replaying = True
        done = partial(self._call_replayed, group)
        key = next(iter(group.members)).session.key
        self._replayer.run(action, done, lambda: bool(group.members), key)

    def _call_replayed(self, group: Group, data: bytes) -> None:
        """Any thread."""
        self._call(partial(self._replayed, group, data))

    def _replayed(self, group: Group, data: bytes) -> None:
        group.busy = group.replaying = False
        if data:
            self._start_sending(group, data)
        elif group.rung:
            self._rung.append(group)  # it was rung for while it was busy
        elif group.reader.finished:
            self._disconnect_all(group, DisconnectReason.ENDED)
        elif not group.over:
            self._settle(group)
