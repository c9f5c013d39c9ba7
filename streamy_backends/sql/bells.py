"""What tells a watch, before its interval is over, that some stream may have grown.

A bell covers all streams, and carries nothing. The database is asked at intervals all the same.
"""

from __future__ import annotations

import selectors
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from streamy_core.broker import AdaptivePolling, BrokerUnavailable, Waker


class Bell(ABC):
    """Rung by the database. One thread waits; any may wake it."""

    hears: bool = True
    """Whether it hears of what other processes publish."""

    @abstractmethod
    def wait(self, seconds: float | None, *, listening: bool) -> bool:
        """Return when the database rings it, when somebody wakes it, or after so many seconds (None: never).

        listening: whether any stream is watched, so that it matters whether the database rings.

        Returns whether the database rang. Raises BrokerUnavailable.
        """

    @abstractmethod
    def wake(self) -> None:
        """Make the wait under way, or else the next one, return. Any thread."""

    @abstractmethod
    def suspend(self) -> None:
        """Close a connection that doesn't survive a fork; the next wait opens another. Any thread."""

    @abstractmethod
    def close(self) -> None:
        """Free what it holds; nobody waits any more. Closing twice does nothing."""


class Timer(Bell):
    """For a database that has no bell."""

    hears = False

    def __init__(self) -> None:
        self._woken = threading.Event()

    def wait(self, seconds: float | None, *, listening: bool) -> bool:
        self._woken.wait(seconds)
        self._woken.clear()
        return False

    def wake(self) -> None:
        self._woken.set()

    def suspend(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._woken.set()


class DataVersion(Timer):
    """SQLite's count of what others have committed: https://sqlite.org/pragma.html#pragma_data_version."""

    hears = True

    def __init__(self, connect: Callable[[], Any], schema: str) -> None:
        super().__init__()
        self._connect = connect
        self._question = f'PRAGMA "{schema}".data_version'
        self._lock = threading.Lock()
        self._connection: Any = None
        self._polling = AdaptivePolling(floor=0.002, ceiling=0.008, share=0.02)
        self._version = -1
        self._changed_at = time.monotonic()
        self._changed()

    def wait(self, seconds: float | None, *, listening: bool) -> bool:
        if not listening:
            return super().wait(seconds, listening=False)
        end = None if seconds is None else time.monotonic() + seconds
        while not self._changed():
            now = time.monotonic()
            pause = self._polling.due_in(now - self._changed_at)
            if end is not None:
                pause = min(pause, end - now)
            if pause <= 0 or self._woken.wait(pause):
                self._woken.clear()
                return False
        self._changed_at = time.monotonic()
        return True

    def suspend(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                self._version = -1  # each connection counts by itself

    close = suspend

    def _changed(self) -> bool:
        while True:
            # Not under the lock: it may have to wait until a fork is over, before which `suspend` is called.
            fresh = self._connect() if self._connection is None else None
            with self._lock:
                if fresh is not None:
                    self._connection = fresh
                if self._connection is not None:
                    before, self._version = self._version, self._read_version()
                    return self._version != before

    def _read_version(self) -> int:
        try:
            (version,) = self._connection.execute(self._question).fetchone()
        except Exception as error:
            raise BrokerUnavailable(f"could not read the version of the SQLite database: {error}") from error
        return int(version)


class Listen(Bell):
    """PostgreSQL's: https://www.postgresql.org/docs/current/sql-listen.html."""

    def __init__(self, connect: Callable[[], Any], channel: str) -> None:
        self._connection = connect()
        try:
            self._connection.execute(f'LISTEN "{channel}"')
            self._server = self._connection.pgconn
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._server.socket, selectors.EVENT_READ)
            self._waker = Waker(self._selector)
        except Exception as error:
            self._connection.close()
            raise BrokerUnavailable(f"could not listen to PostgreSQL: {error}") from error

    def wait(self, seconds: float | None, *, listening: bool) -> bool:
        if not self._selector.select(seconds):
            return False
        self._waker.clear()
        rung = False
        try:
            self._server.consume_input()
            while self._server.notifies():
                rung = True
        except Exception as error:
            raise BrokerUnavailable(f"the connection that listens to PostgreSQL broke: {error}") from error
        return rung

    def wake(self) -> None:
        self._waker.wake()

    suspend = wake

    def close(self) -> None:
        self._selector.close()
        self._waker.close()
        self._connection.close()
