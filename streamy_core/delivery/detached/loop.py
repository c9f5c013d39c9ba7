"""One event loop per process that owns the sockets of all detached clients.

All runs on one thread, but for what says "any thread". It never blocks: reading the log is the
replayer's. It works in bounded slices, so that no large audience or long replay holds up others.
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
from typing import Final

from ...strategies.slow_clients import Lag, SlowClientPolicy
from ...wire import KEEP_ALIVE
from .groups import Audience, AudienceKey, Client
from .keepalives import KeepAlives
from .replayer import Replayer
from .slow_clients import Laggards
from .timers import Aging, Timers
from .waker import Bell

SENDS: Final = 256
"""How many sends are made before everything else gets its turn."""

_STEPS: Final = 4
_PATIENCE: Final = 1.0

logger = logging.getLogger("streamy")


class Loop:
    """See the module.

    policy:   what happens to slow clients.
    farewell: makes the last bytes for a client that is sent away.
    came, gone, slow: told of clients that have come, are gone, or that the policy has decided against.
    """

    def __init__(
        self,
        replayer: Replayer,
        *,
        policy: SlowClientPolicy,
        farewell: Callable[[], bytes],
        came: Callable[[Client], None],
        gone: Callable[[Client, str], None],
        slow: Callable[[Client, Lag], None],
    ) -> None:
        self._replayer = replayer
        self._farewell = farewell
        self._came = came
        self._gone = gone
        self._clients: dict[Client, None] = {}
        self._audiences: dict[AudienceKey, Audience] = {}
        self._sending: deque[Audience] = deque()
        self._rung: deque[Audience] = deque()
        self._arrivals: deque[tuple[Client, float | None]] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._timers = Timers(time.monotonic)
        self._aging = Aging(self._timers, partial(self._part, reason="aged"))
        self._keep_alives = KeepAlives(
            self._timers, lambda audience: self._start_sending(audience, KEEP_ALIVE)
        )
        self._laggards = Laggards(policy, self._timers, slow=slow, drop=self._drop)
        self._selector = selectors.DefaultSelector()
        self._bell = Bell(self._selector)
        self._leaving = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streamy-loop", daemon=True)
        self._thread.start()

    def adopt(self, client: Client, age: float | None) -> None:
        """Take care of this client from now on; just close it if the loop has ended. Any thread.

        age: seconds after which to send it away, or None.
        """
        self._arrivals.append((client, age))
        self._bell.ring()
        if self._over.is_set():
            self._turn_away()

    def disconnect(self, chosen: Callable[[Client], bool], reason: str) -> None:
        """Send away all clients that are `chosen`. Any thread."""
        self._call(partial(self._disconnect, chosen, reason))

    def leave(self, timeout: float) -> None:
        """Send all clients away, with what is at hand, and end, in `timeout` seconds. Any thread."""
        self._call(self._leave)
        if threading.current_thread() is not self._thread:
            self._over.wait(timeout)

    def _call(self, action: Callable[[], None]) -> None:
        self._calls.append(action)
        self._bell.ring()

    def _ring_for(self, audience: Audience) -> None:
        """The hub's wake for an audience: any thread."""
        if not audience.rung:
            audience.rung = True
            self._rung.append(audience)
            self._bell.ring()

    def _run(self) -> None:
        try:
            while not self._leaving:
                try:
                    self._turn()
                except Exception:
                    # Whatever it is: a loop that dies leaves all clients without a word.
                    logger.exception("the event loop goes on after an error")
        finally:
            self._selector.close()
            self._bell.close()
            self._over.set()
            self._turn_away()

    def _turn_away(self) -> None:
        """Close those who have come too late. They will be back."""
        with suppress(IndexError):
            while True:
                client, _ = self._arrivals.popleft()
                client.sock.close()
                self._gone(client, "leaving")

    def _turn(self) -> None:
        self._bell.about_to_sleep()
        something = self._sending or self._calls or self._arrivals or self._rung
        ready = self._selector.select(0.0 if something else self._timers.due_in())
        self._bell.awake()
        for key, mask in ready:
            client: Client | None = key.data
            if client is None:
                self._bell.answer()
            elif mask & selectors.EVENT_READ and not self._listen(client):
                continue
            elif mask & selectors.EVENT_WRITE:
                self._send_pending(client)
        for _ in range(min(len(self._arrivals), SENDS)):
            self._arrive(*self._arrivals.popleft())
        for _ in range(min(len(self._calls), SENDS)):
            self._calls.popleft()()
        for _ in range(min(len(self._rung), SENDS)):
            self._advance(self._rung.popleft())
        self._work()
        self._timers.run()

    def _work(self) -> None:
        left = SENDS
        while self._sending and left > 0:
            audience = self._sending.popleft()
            left -= self._send_some(audience, left)
            if audience.left > 0:
                self._sending.append(audience)
            else:
                self._finish(audience)

    def _advance(self, audience: Audience) -> None:
        """Give the audience what is due to it, if anything is."""
        if audience.busy:
            return  # it stays rung, and is looked after when it has finished
        audience.rung = False
        connection = audience.connection
        data = connection.take()
        if data:
            self._start_sending(audience, data)
        elif connection.lagging and not audience.empty:
            audience.busy = audience.replaying = True
            self._replay(connection.catch_up, partial(self._replayed_audience, audience))
        else:
            self._settle(audience)

    def _replayed_audience(self, audience: Audience, data: bytes) -> None:
        audience.busy = audience.replaying = False
        if data:
            self._start_sending(audience, data)
        elif audience.rung:
            self._ring_for_more(audience)  # it was rung for while it was busy
        else:
            self._settle(audience)

    def _start_sending(self, audience: Audience, data: bytes) -> None:
        if audience.over:
            return
        audience.busy = True
        audience.version += 1
        self._keep_alives.wrote(audience)
        audience.start_sending(data)
        self._sending.append(audience)

    def _send_some(self, audience: Audience, most: int) -> int:
        data, size = audience.data, len(audience.data)
        sends = min(most, audience.left)
        audience.left -= sends
        for client in islice(audience.unsent, sends):
            if client.audience is not audience:
                continue
            try:
                sent = client.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(client, "gone")
                continue
            if sent != size:
                audience.dismiss(client)
                self._fall_behind(client, memoryview(data)[sent:])
        return max(sends, 1)

    def _finish(self, audience: Audience) -> None:
        """All members have been sent what was due: go on."""
        audience.busy = False
        audience.sent()
        if audience.connection.finished:
            for client in list(audience.members):
                self._part(client, "ended")
        self._settle(audience)
        if audience.rung or audience.connection.more:
            self._ring_for_more(audience)

    def _ring_for_more(self, audience: Audience) -> None:
        """Have the audience looked after again, when the others have had their turn."""
        audience.rung = True
        self._rung.append(audience)

    def _settle(self, audience: Audience) -> None:
        """Let those in who waited for the audience to get where they are."""
        for client in list(audience.waiting) if audience.waiting else ():
            # Not again before the audience has moved: little else would have changed.
            if not audience.admit(client) and client.waits_since != audience.version:
                self._look_again(client)
        if not audience.members:
            self._drop_if_empty(audience)

    def _look_again(self, client: Client) -> None:
        """Have a client that still waits go on by itself."""
        if client.home is not None and client in client.home.waiting:
            client.home.send_astray(client)
            self._go_on(client)

    def _drop_if_empty(self, audience: Audience) -> None:
        if audience.empty and not audience.over:
            audience.over = True
            del self._audiences[audience.key]
            audience.connection.detach()

    def _arrive(self, client: Client, age: float | None) -> None:
        self._clients[client] = None
        self._came(client)
        if age is not None:
            self._aging.add(client, age)
        self._selector.register(client.sock, selectors.EVENT_READ, client)
        head, client.pending = client.pending, b""
        connection = client.connection
        assert connection is not None
        if self._deliver(client, bytes(head) + client.framed(connection.take())):
            self._go_on(client)

    def _go_on(self, client: Client) -> None:
        """Give a client that goes by itself, and has nothing pending, what comes next."""
        connection = client.connection
        if client.closed or connection is None:
            return
        if client.skips:
            client.skips = False
            client.watch_writable(self._selector, False)
            self._replay(connection.fast_forward, partial(self._replayed, client))
            return
        for _ in range(_STEPS):
            data = connection.take()
            if not data:
                break
            if not self._deliver(client, client.framed(data)):
                return
        else:
            client.watch_writable(self._selector, True)  # there is more: when its turn comes again
            return
        if connection.finished:
            self._part(client, "ended")
        elif connection.lagging:
            client.watch_writable(self._selector, False)
            self._replay(connection.catch_up, partial(self._replayed, client))
        else:
            self._join(client)

    def _replayed(self, client: Client, data: bytes) -> None:
        if client.closed:
            return
        if not data:
            self._join(client)
        elif self._deliver(client, client.framed(data)):
            client.watch_writable(self._selector, True)

    def _join(self, client: Client) -> None:
        """Put a client that is level into its audience, or let it wait there until that is level."""
        client.watch_writable(self._selector, False)
        self._laggards.discard(client)
        key = client.audience_key()
        audience = self._audiences.get(key)
        if audience is None:
            assert client.connection is not None
            audience = self._audiences[key] = Audience(key, client.connection, client.keep_alive)
            audience.admit(client)
            audience.connection.attach(partial(self._ring_for, audience))
            self._ring_for(audience)  # something may have come before the hub knew of it
            self._keep_alives.wrote(audience)
        elif not audience.admit(client):
            audience.let_wait(client)
            self._timers.after(_PATIENCE, partial(self._look_again, client))
            self._ring_for(audience)

    def _deliver(self, client: Client, data: bytes) -> bool:
        """Send; what isn't taken becomes pending. Whether all was."""
        if not data:
            return True
        try:
            sent = client.send(data)
        except OSError:
            self._drop(client, "gone")
            return False
        if sent == len(data):
            return True
        self._fall_behind(client, memoryview(data)[sent:])
        return False

    def _fall_behind(self, client: Client, rest: memoryview) -> None:
        client.pending = rest
        client.watch_writable(self._selector, True)
        self._laggards.add(client)

    def _send_pending(self, client: Client) -> None:
        if client.pending:
            try:
                sent = client.send(client.pending)
            except OSError:
                self._drop(client, "gone")
                return
            if sent:
                client.took_at = self._timers.now()
            client.pending = client.pending[sent:]
            if client.pending:
                return
            client.pending = b""
        self._go_on(client)

    def _listen(self, client: Client) -> bool:
        """See whether a client that has become readable is still there."""
        if client.is_there():
            return True
        self._drop(client, "gone")
        return False

    def _disconnect(self, chosen: Callable[[Client], bool], reason: str) -> None:
        for client in [client for client in self._clients if chosen(client)]:
            self._part(client, reason)

    def _leave(self) -> None:
        for audience in list(self._audiences.values()):
            if not audience.busy and (data := audience.connection.take()):
                audience.start_sending(data)
                self._sending.append(audience)
        for audience in self._sending:
            self._send_some(audience, audience.left)
        for client in list(self._clients):
            self._part(client, "leaving")
        self._leaving = True

    def _part(self, client: Client, reason: str) -> None:
        """Send a client away: it is to come back after a while, unless its streams have ended."""
        client.say_goodbye(b"" if reason == "ended" else self._farewell())
        self._drop(client, reason)

    def _drop(self, client: Client, reason: str) -> None:
        if client.closed:
            return
        client.closed = True
        del self._clients[client]
        self._laggards.discard(client)
        self._aging.discard(client)
        self._selector.unregister(client.sock)
        client.sock.close()
        if (home := client.home) is not None:
            home.forget(client)
            self._drop_if_empty(home)
        self._gone(client, reason)

    def _replay(self, action: Callable[[], bytes], done: Callable[[bytes], None]) -> None:
        """Have the replayer read the log; `done` is called on the loop's thread."""
        self._replayer.run(action, lambda data: self._call(partial(done, data)))
