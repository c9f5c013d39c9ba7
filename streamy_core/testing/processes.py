"""Other processes for tests: each makes brokers of its own, and does there what it is told.

An interpreter that is started once forks them. It never has a broker itself, so that nothing of the tests'
own broker is ever in them: what they share, they share by the backend.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, Final

import pytest

from ..broker import Broker
from .basis import MakeBroker, to_do, unwritten

Action = Callable[..., Any]
"""What a process does: a function of a module, which is given a `Here` and other arguments."""

_PATIENCE: Final = 30.0
"""Seconds after which a process that says nothing is taken to hang."""
_HELD: Final = pytest.StashKey["Starter"]()


class Here:
    """What an action has in its process: the broker, and a line to the test."""

    def __init__(self, broker: Broker, line: Connection) -> None:
        self.broker = broker
        self._line = line

    def tell(self, what: object) -> None:
        """Tell the test something, before the action is over."""
        self._line.send(("told", what))

    def wait(self) -> None:
        """Block until the test says `go`."""
        self.tell("ready")
        self._line.recv()


class Process:
    """A process with a broker of its own on one of the logs. For one thread of the test."""

    def __init__(self, pid: int, line: Connection) -> None:
        self.pid = pid
        self._line = line

    def call(self, action: Action, *args: object) -> Any:
        """What the action returns there. An assertion that fails there fails here."""
        self.start(action, *args)
        return self.result()

    def start(self, action: Action, *args: object) -> None:
        """Have the action begin."""
        self._line.send((action, args))

    def told(self, within: float = _PATIENCE) -> Any:
        """What it tells next. Raises EOFError when the process is gone."""
        kind, what = self._receive(within)
        if kind == "failed":
            raise AssertionError(f"in another process: {what}")
        if kind == "unwritten":
            raise to_do(what)
        return what

    def told_for(self, seconds: float) -> list[Any]:
        """All that it tells in the next seconds; for 0, what it has told already."""
        found: list[Any] = []
        end = time.monotonic() + seconds
        with suppress(EOFError, ConnectionError):
            while self._line.poll(max(0.0, end - time.monotonic())):
                found.append(self.told())
        return found

    def go(self) -> None:
        """Let the action go on that waits."""
        assert self.told() == "ready"
        self._line.send("go")

    def result(self, within: float = _PATIENCE) -> Any:
        """What the action that was started has returned."""
        return self.told(within)

    def kill(self) -> None:
        """End it by SIGKILL, wherever it is. Returns when it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        end = time.monotonic() + _PATIENCE
        while _is_there(self.pid):
            assert time.monotonic() < end, "a process that was killed is still there"
            time.sleep(0.001)

    def close(self) -> None:
        """End it, as it ends by itself."""
        self._line.close()

    def _receive(self, within: float) -> tuple[str, Any]:
        assert self._line.poll(within), f"another process said nothing for {within:g} s: it hangs"
        found: tuple[str, Any] = self._line.recv()
        return found


class Starter:
    """Starts processes. `close` ends those that are left."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", _COMMAND, str(theirs.fileno())]
            self._interpreter = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._line = ours
        self._path = pickle.dumps(sys.path)

    def start(self, make_broker: MakeBroker, log: str = "log", *, history: int = 10_000) -> Process:
        """A process with a broker that it has made itself, as `make_broker` tells."""
        try:
            maker = pickle.dumps(make_broker)
        except Exception as error:
            raise AssertionError(
                f"make_broker can't be handed to another process, to make a broker of its own ({error}): "
                "return FromUrl(...), or a function or object of a module"
            ) from error
        ours, theirs = socket.socketpair()
        with theirs:
            told = pickle.dumps((self._path, maker, log, history))
            socket.send_fds(self._line, [len(told).to_bytes(8, "big")], [theirs.fileno()])
            self._line.sendall(told)
        line = Connection(ours.detach())
        kind: str
        what: Any
        try:
            assert line.poll(_PATIENCE), f"another process made no broker within {_PATIENCE:g} s"
            kind, what = line.recv()
        except EOFError:
            kind, what = "failed", "the process has died"
        assert kind != "failed", (
            f"another process can't make this broker. What make_broker returns is to be importable: {what}"
        )
        return Process(what, line)

    @contextmanager
    def starting(self, make_broker: MakeBroker) -> Generator[Callable[..., Process]]:
        """Gives `start` for this `make_broker`. What it has started is closed in the end."""
        with ExitStack() as to_close:

            def start(log: str = "log", *, history: int = 10_000) -> Process:
                process = self.start(make_broker, log, history=history)
                to_close.callback(process.close)
                return process

            yield start

    def close(self) -> None:
        """End it, and with it all processes that it has started, also those that hang."""
        os.killpg(self._interpreter.pid, signal.SIGKILL)
        self._line.close()
        self._interpreter.wait()


def starter_of(config: pytest.Config) -> Starter:
    """The one starter of this run of pytest."""
    if _HELD not in config.stash:
        config.stash[_HELD] = starter = Starter()
        config.add_cleanup(starter.close)
    return config.stash[_HELD]


_COMMAND: Final = "import sys; from streamy_core.testing.processes import main; main(int(sys.argv[1]))"


def main(number: int) -> None:
    """Fork a process for each request that comes by this socket, until it is closed."""
    line = socket.socket(fileno=number)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that the system buries them
    while True:
        head, fds, _, _ = socket.recv_fds(line, 8, 1)
        if not fds:
            return
        told = b""
        while len(told) < int.from_bytes(head, "big"):
            told += line.recv(2**16)
        path, maker, log, history = pickle.loads(told)
        sys.path[:] = pickle.loads(path)
        with suppress(BaseException):  # which is told by the process, that tries it again
            pickle.loads(maker)  # so that its modules are imported once, and not by each
        if os.fork() == 0:
            try:
                line.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                with Connection(fds[0]) as to_test:
                    _work(to_test, maker, log, history)
            finally:
                os._exit(0)
        os.close(fds[0])


def _work(line: Connection, maker: bytes, log: str, history: int) -> None:
    try:
        broker: Broker = pickle.loads(maker)(log, history=history)
    except BaseException as error:  # noqa: BLE001 - it is told, whatever it is
        line.send(("failed", f"{type(error).__name__}: {error}"))
        return
    line.send(("made", os.getpid()))
    here = Here(broker, line)
    with suppress(EOFError, ConnectionError):
        while True:
            action, args = line.recv()
            try:
                outcome = "done", action(here, *args)
            except BaseException as error:  # noqa: BLE001 - as above
                outcome = _failure(error)
            line.send(outcome)
    broker.close()


def _failure(error: BaseException) -> tuple[str, str]:
    if isinstance(error, NotImplementedError) and (told := unwritten(error)):
        return "unwritten", told
    return "failed", f"{error}\n{traceback.format_exc(limit=-3)}"


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
