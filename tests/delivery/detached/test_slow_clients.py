"""Who is behind in the kernel alone is found by looks at all clients in turn."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Final

import pytest

from streamy_core.delivery import sockets
from streamy_core.delivery.detached.client import Client
from streamy_core.delivery.detached.slow_clients import SlowClients
from streamy_core.delivery.detached.timers import Timers
from streamy_core.delivery.session import Session
from streamy_core.observers import Observer
from streamy_core.strategies import Never
from streamy_core.strategies.slow_clients import Disconnect
from streamy_core.testing.clock import ManualClock
from streamy_core.testing.reading import eventually

GIVE_UP_AFTER: Final = 30.0
BURST: Final = b"x" * 20_000


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    """25 clients, of which nobody reads."""
    with ExitStack() as to_close, socket.create_server(("127.0.0.1", 0)) as listener:
        made = []
        for _ in range(25):
            far = to_close.enter_context(closing(socket.socket()))
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            far.connect(listener.getsockname())
            near = to_close.enter_context(closing(listener.accept()[0]))
            sockets.set_user_timeout(near, GIVE_UP_AFTER)
            made.append(Client(near, Session(("news",), None, Never())))
        yield made


def left_to_the_policy(clients: list[Client]) -> list[bool]:
    return [
        client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0  # the kernel never gives up
        for client in clients
    ]


def test_all_are_looked_at_well_before_the_kernel_may_give_up(clients: list[Client]) -> None:
    clock = ManualClock()
    timers = Timers(clock)
    slow = SlowClients(
        dict.fromkeys(clients), Disconnect(), GIVE_UP_AFTER, timers, Observer(), lambda *gone: None
    )
    held_back, level = clients[:-5], clients[-5:]
    slow.arrived()
    for client in held_back:
        client.sock.sendall(BURST)
    eventually(lambda: all(sockets.is_held_back(client.sock) for client in held_back), "closed windows")
    while clock() < GIVE_UP_AFTER / 2:
        clock.advance(timers.due_in() or 0.0)
        timers.run()
    assert left_to_the_policy(held_back) == [True] * len(held_back)
    assert left_to_the_policy(level) == [False] * len(level)


def test_no_timer_runs_once_all_have_gone(clients: list[Client]) -> None:
    clock = ManualClock()
    timers = Timers(clock)
    there = dict.fromkeys(clients)
    slow = SlowClients(there, Disconnect(), GIVE_UP_AFTER, timers, Observer(), lambda *gone: None)
    slow.arrived()
    there.clear()
    clock.advance(GIVE_UP_AFTER)
    timers.run()
    assert timers.due_in() is None
