"""A server that runs as a process of its own, with a log."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

import psutil

from streamy_core.testing.reading import DEADLINE, eventually

from . import ROOT

S = TypeVar("S")

STARTING: Final = 30.0
"""Seconds that a server may take to answer: a machine that runs other tests starts it slowly."""
STOPPING: Final = 3.0
"""Seconds that it has to end by itself."""


class ServerProcess:
    """A server, which can be started again when it has ended. A subclass says by `answers` when it is there.

    command:     the program and its arguments.
    log:         the file to which goes what it writes, from one start to the next.
    environment: variables beyond those that it inherits; None for one that it must not inherit.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        cwd: Path = ROOT,
        environment: Mapping[str, object | None] | None = None,
    ) -> None:
        self._command = [str(part) for part in command]
        self._log = log
        self._cwd = cwd
        given = environment or {}
        inherited = {name: value for name, value in os.environ.items() if name not in given}
        self._environment = inherited | {
            name: str(value) for name, value in given.items() if value is not None
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> Self:
        """Start it, and wait until it answers. Raises AssertionError, with its log, if it doesn't.

        more: arguments.
        """
        self.launch(*more)
        try:
            eventually(self._is_there, f"an answer of {self}", within=STARTING)
        except BaseException as error:
            self.kill()
            error.add_note(f"log of {self}:\n{self.log()[-5_000:]}")
            raise
        return self

    def launch(self, *more: str) -> None:
        """Start it, and don't wait for it."""
        assert not self.running, f"{self} runs already"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._command, *more],
                cwd=self._cwd,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def answers(self) -> bool:
        """Whether it can be used."""
        raise NotImplementedError

    def log(self, since: int = 0) -> str:
        """What it has written, from this many characters on."""
        return self._log.read_text(errors="replace")[since:] if self._log.exists() else ""

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        assert self._process is not None, f"{self} hasn't been started"
        return self._process

    @property
    def children(self) -> list[int]:
        """The ids of the processes that it has started itself, such as workers."""
        return sorted(child.pid for child in psutil.Process(self.process.pid).children())

    def signal(self, number: signal.Signals, *, to_all: bool = False) -> None:
        """Signal the process, or its whole group, as a terminal does."""
        if to_all:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def wait(self, timeout: float = DEADLINE) -> int:
        """Its exit code, when it has ended by itself within so many seconds."""
        return self.process.wait(timeout)

    def stop(self) -> None:
        """Have it end (SIGTERM), and see that all its processes have."""
        processes = self._family()
        if self.running:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOPPING)
        self._end(processes)

    def kill(self) -> None:
        """End it and its children at once (SIGKILL)."""
        self._end(self._family())

    def pause(self) -> None:
        """Have it stand still, connections and all, until `resume` (SIGSTOP). Returns when it does."""
        suspend(self._family())

    def resume(self) -> None:
        """Have it go on."""
        for process in self._family():
            process.resume()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It stands still meanwhile."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def __str__(self) -> str:
        return Path(self._command[0]).name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _is_there(self) -> bool:
        assert self.running, f"{self} ended with {self.process.returncode}"
        return self.answers()

    def _family(self) -> list[psutil.Process]:
        """The process, if it runs, and its descendants, some of which may have groups of their own."""
        if not self.running:
            return []
        first = psutil.Process(self.process.pid)
        return [first, *first.children(recursive=True)]

    def _end(self, processes: list[psutil.Process]) -> None:
        kill_all(processes)
        if self._process is not None:
            self._process.wait(DEADLINE)


def wait_until_gone(pid: int, timeout: float) -> None:
    """Wait until this process has ended; fails after `timeout` seconds."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        assert poll.poll(timeout * 1000), f"process {pid} is still there after {timeout} s"
    finally:
        os.close(process)


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """End these processes at once (SIGKILL), and wait until they have, whoever is to bury them."""
    killed = list(processes)
    for process in killed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    eventually(lambda: all(map(_has_ended, killed)), "the end of processes that were killed")


def _has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE) or not process.is_running()
    except psutil.NoSuchProcess:
        return True


def suspend(processes: Iterable[psutil.Process]) -> None:
    """Stop these processes (SIGSTOP), and wait until all their threads stand still."""
    stopped = list(processes)
    for process in stopped:
        process.suspend()
    eventually(lambda: all(map(_stands_still, stopped)), "processes that stand still")


def _stands_still(process: psutil.Process) -> bool:
    states = [path.read_text() for path in Path(f"/proc/{process.pid}/task").glob("*/stat")]
    return all(state.rpartition(")")[2].split()[0] in "TZ" for state in states)


class Stops(Protocol):
    def stop(self) -> object: ...


@contextmanager
def stopped_in_the_end() -> Iterator[dict[str, Any]]:
    """The servers that have been started so far, by kind: whoever starts one puts it here."""
    started: dict[str, Stops] = {}
    yield started
    for server in started.values():
        server.stop()


def started_once(started: dict[str, Any], kind: str, start: Callable[[], S]) -> S:
    """The server of this kind: started when it is first asked for, and then kept."""
    if kind not in started:
        started[kind] = start()
    server: S = started[kind]
    return server
