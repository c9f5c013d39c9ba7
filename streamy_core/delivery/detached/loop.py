"""One event loop per process that owns the sockets of all detached clients.

All runs on one thread, but for what says "any thread". It never blocks: the replayer reads the log. It
works in slices, so that no large group or long replay holds up others.
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
from typing import Any, Final

from ...engine.pulse import Pulse
from ...engine.reader import FIRST_SLICE
from ...engine.traces import hand_over
from ...errors import Closed
from ...observers import DisconnectReason, Observer
from ...strategies.slow_clients import SlowClientPolicy
from ...wire import KEEP_ALIVE
from ..delivery import Chosen
from ..rechecks import Rechecks
from ..replayer import Replayer
from ..session import Session
from .client import Arrival, Client
from .groups import Group, GroupKey
from .joint import JointStream, Member
from .joints import Joints
from .keepalives import KeepAlives
from .rights import Rights
from .sending import DELIVERY, SENDS, Sending
from .slow_clients import SlowClients
from .timers import Expiries, Lateness, Timers
from .waker import LoopWaker

logger: Final = logging.getLogger("streamy.loop")


class Loop:
    """See the module.

    policy:   what happens to slow clients.
    give_up_after: seconds after which the kernel gives up on a peer that acknowledges nothing.
    last_bytes: makes those for a client that is disconnected for this reason.
    gone:     told of clients that are no longer connected.
    concerned: whether a command means a client that has been given since its request began.
    rechecks: look at clients' rights again.
    observer: told what happens.
    """

    def __init__(
        self,
        replayer: Replayer,
        *,
        policy: SlowClientPolicy,
        give_up_after: float,
        last_bytes: Callable[[DisconnectReason], bytes],
        gone: Callable[[Client, DisconnectReason], None],
        concerned: Callable[[Session], bool],
        rechecks: Rechecks,
        observer: Observer,
    ) -> None:
        self._replayer = replayer
        self._last_bytes = last_bytes
        self._gone = gone
        self._concerned = concerned
        self._observer = observer
        self._clients: dict[Client, None] = {}
        self._leading: dict[GroupKey, Group] = {}
        self._rung: deque[Group | JointStream] = deque()
        self._arrivals: deque[Arrival] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._timers = Timers(time.monotonic)
        self._expiries: Expiries[Client] = Expiries(
            self._timers, lambda client: self._disconnect(client, client.expires_for)
        )
        self._keep_alives = KeepAlives(self._timers, lambda group: self._start_sending(group, KEEP_ALIVE, 0))
        self._lateness = Lateness(self._timers, self._clients, observer)
        self._slow_clients = SlowClients(
            self._clients, policy, give_up_after, self._timers, observer, self._drop
        )
        self._sending = Sending(self._block, partial(self._drop, reason=DisconnectReason.GONE))
        self._joints = Joints(self._sending, self._timers, self._note, self._attach, observer)
        self._rights = Rights(
            rechecks,
            self._joints,
            observer,
            call=self._call,
            note=self._note,
            attach=self._attach,
            forget=self._forget,
            disconnect=self._disconnect,
        )
        self._selector = selectors.DefaultSelector()
        self._waker = LoopWaker(self._selector)
        self._stopping = False
        self._pulse = Pulse()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streamy-loop", daemon=True)
        self._thread.start()

    def adopt(self, arrival: Arrival) -> None:
        """Take care of this client from now on, or close it if the loop has ended. Any thread."""
        self._arrivals.append(arrival)
        self._waker.wake()
        if self._over.is_set():
            self._close_arrivals()

    def disconnect(self, chosen: Chosen, reason: DisconnectReason) -> None:
        """Tell all clients that are `chosen` to come back, and close them. Any thread."""
        self._call(self._disconnect_chosen, chosen, reason)

    def shutdown(self, timeout: float) -> None:
        """Disconnect all clients, with what is at hand, and end, in `timeout` seconds. Any thread."""
        self._call(self._shut_down)
        if threading.current_thread() is not self._thread:
            self._over.wait(timeout)

    def stuck_for(self) -> float:
        """For how many seconds it hasn't turned, as far as it was asked: each call asks. Any thread."""
        if self._pulse.at_rest:
            self._pulse.expect()
            self._call(self._pulse.rest)
        return self._pulse.overdue()

    def _call(self, action: Callable[..., None], *args: Any) -> None:
        self._calls.append(partial(action, *args))
        self._waker.wake()

    def _ring(self, group: Group) -> None:
        """The hub's wake for a group: any thread."""
        if not group.rung:
            group.rung = True
            self._note(group)

    def _note(self, rung: Group | JointStream) -> None:
        """This has just been rung for: any thread."""
        self._rung.append(rung)
        self._waker.wake()

    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    self._turn()
                except Exception:  # a loop that dies leaves all clients without a word
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
                if client.stays:
                    self._observer.connected(client.session, DELIVERY)
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
            rung = self._rung.popleft()
            if isinstance(rung, JointStream):
                self._joints.advance(rung)
            else:
                self._advance(rung)
        self._sending.run()
        self._timers.run()

    def _take_arrivals(self, most: int) -> None:
        for _ in range(min(len(self._arrivals), most)):
            self._arrive(self._arrivals.popleft())

    def _arrive(self, arrival: Arrival) -> None:
        client = arrival.client
        self._clients[client] = None
        self._slow_clients.arrived()
        self._lateness.arrived()
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
        data = arrival.reader.take_opening() if self._rights.arrived(client, group) else arrival.reader.take()
        group.start_sending(data, arrival.head)
        self._tell_of(group, group.data, arrival.reader.took)
        self._sending.send(group, 1)
        self._finish(group)

    def _advance(self, group: Group) -> None:
        """Give the group what is due to it, if anything is."""
        if group.busy or group.held or group.over:
            return  # it stays rung, and is looked after when it has finished, or may go on
        group.rung = False
        group.note_place()
        reader = group.reader
        if group.skips:
            group.skips = False
            self._replay(group, reader.skip_to_newest)
        elif group.stays and not reader.attached and reader.level and not reader.backlog:
            self._settle(group)
        elif data := reader.take():
            self._start_sending(group, data, reader.took)
        elif (reason := reader.over) is not None:
            self._disconnect_all(group, reason)
        elif reader.lagging or not group.stays:
            self._replay(group, reader.catch_up if group.stays else reader.catch_up_with_all)
        else:
            self._settle(group)

    def _start_sending(self, group: Group, data: bytes, events: int) -> None:
        if group.over:
            return
        group.busy = True
        self._keep_alives.wrote(group)
        group.start_sending(data)
        self._sending.start(group, partial(self._finish, group))
        self._tell_of(group, data, events)

    def _tell_of(self, group: Group, data: bytes, events: int) -> None:
        count = group.left
        self._observer.delivered(DELIVERY, group.key.streams, count, len(data), count * events)
        if events:
            hand_over(group.reader.handovers)

    def _block(self, client: Client, rest: memoryview) -> None:
        """The client's socket takes no more for now: it goes on by itself when it does."""
        group = client.group
        assert group is not None
        alone = self._joints.release(group) if isinstance(group, Member) else group.split(client)
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
        """Nothing is due: become part of those who are at the same position."""
        if not group.stays:
            self._disconnect_all(group, DisconnectReason.BUSY)
            return
        reader = group.reader
        if self._joints.take_in(group) if len(reader.position) > 1 else self._becomes_part(group):
            self._forget(group)
        elif not reader.attached:
            self._attach(group)

    def _becomes_part(self, group: Group) -> bool:
        """Whether it has become part of the leading group of its kind. If there is none, it leads."""
        leading = self._leading.setdefault(group.key, group)
        group.leading = leading is group
        return leading is not group and leading.absorb(group)

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
        elif isinstance(client.group, Group):
            client.pending = b""
            self._selector.modify(client.sock, selectors.EVENT_READ, client)
            self._finish(client.group)

    def _still_there(self, client: Client) -> bool:
        """Whether a client that has become readable is still there; if not, it is dropped."""
        if client.is_there():
            return True
        self._drop(client, DisconnectReason.GONE)
        return False

    def _disconnect_chosen(self, chosen: Chosen, reason: DisconnectReason) -> None:
        self._take_arrivals(len(self._arrivals))
        for client in [each for each in self._clients if chosen(each.session)]:
            self._disconnect(client, reason)

    def _disconnect_all(self, group: Group, reason: DisconnectReason) -> None:
        for client in list(group.members):
            self._disconnect(client, reason)

    def _shut_down(self) -> None:
        self._take_arrivals(len(self._arrivals))
        for group in {client.group: None for client in self._clients}:
            if isinstance(group, Group):
                group.send_all_due(self._sending, self._tell_of)
        self._joints.send_all_due()
        for client in list(self._clients):
            self._disconnect(client, DisconnectReason.SHUTDOWN)
        self._stopping = True

    def _disconnect(self, client: Client, reason: DisconnectReason) -> None:
        """Tell a client when to come back, if only to hear that its streams have ended, and close it."""
        if not (client.pending and reason is DisconnectReason.REVOKED):  # that is none of its business now
            client.send_last(self._last_bytes(reason))
        self._drop(client, reason)

    def _drop(self, client: Client, reason: DisconnectReason) -> None:
        if client not in self._clients:
            return
        del self._clients[client]
        self._slow_clients.discard(client)
        self._rights.gone(client)
        self._expiries.discard(client)
        self._selector.unregister(client.sock)
        client.sock.close()
        group, client.group = client.group, None
        if isinstance(group, Member):
            self._joints.leave(group)
        elif group is not None:
            group.members.pop(client, None)
            if not group.members:
                self._forget(group)
        self._gone(client, reason)

    def _replay(self, group: Group, action: Callable[[], bytes]) -> None:
        """Have the replayer read the log for the group."""
        group.busy = group.replaying = True
        key = next(iter(group.members)).session.key
        done = partial(self._call, self._replayed, group)
        self._replayer.run(action, done, lambda: bool(group.members), key)

    def _replayed(self, group: Group, data: bytes) -> None:
        group.busy = group.replaying = False
        if data:
            self._start_sending(group, data, group.reader.took)
        elif group.rung:
            self._rung.append(group)  # it was rung for while it was busy
        elif (reason := group.reader.over) is not None:
            self._disconnect_all(group, reason)
        elif not group.over:
            self._settle(group)
