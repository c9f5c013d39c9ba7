"""What tells a watch, before its interval is over, that some stream may have grown.

A bell covers all streams, and carries nothing. The database is asked at intervals all the same.
"""

from __future__ import annotations

import selectors
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any

from streamy_core.broker import AdaptivePolling, BrokerUnavailable, Waker

Connect = Callable[[str], Any]
"""Gives a driver's connection, by which this statement has been done."""


class Bell(ABC):
    """Rung by the database. One thread waits; any may wake it."""

    hears: bool = True
    """Whether it hears of what other processes publish."""

    @abstractmethod
    def wait(self, seconds: float | None, *, listening: bool) -> Collection[str] | None:
        """Return when the database rings it, when somebody wakes it, or after so many seconds (None: never).

        listening: whether any stream is watched, so that it matters whether the database rings.

        Returns which streams may have grown, if the database rang: none, if it doesn't say which. None if it
        didn't ring. Raises BrokerUnavailable.
        """

    @abstractmethod
    def wake(self) -> None:
        """Make the wait under way, or else the next one, return. Any thread."""

    @abstractmethod
    def renew(self) -> None:
        """Have its connection closed, and another opened by the next wait. Any thread."""

    @abstractmethod
    def close(self) -> None:
        """Free what it holds; nobody waits any more. Closing twice does nothing."""


class Timer(Bell):
    """For a database that has no bell."""

    hears = False

    def __init__(self) -> None:
        self._woken = threading.Event()

    def wait(self, seconds: float | None, *, listening: bool) -> Collection[str] | None:
        self._woken.wait(seconds)
        self._woken.clear()
        return None

    def wake(self) -> None:
        self._woken.set()

    def renew(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._woken.set()


class DataVersion(Timer):
    """SQLite's count of what others have committed: https://sqlite.org/pragma.html#pragma_data_version."""

    hears = True

    def __init__(self, connect: Connect, schema: str, is_replaced: Callable[[], bool]) -> None:
        super().__init__()
        self._connect = connect
        self._is_replaced = is_replaced
        self._question = f'PRAGMA "{schema}".data_version'
        self._lock = threading.Lock()
        self._connection: Any = None
        self._polling = AdaptivePolling(floor=0.002, ceiling=0.008, share=0.02)
        self._version = -1
        self._changed_at = time.monotonic()
        self._changed()

    def wait(self, seconds: float | None, *, listening: bool) -> Collection[str] | None:
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
                return None
        self._changed_at = time.monotonic()
        return ()

    def renew(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                self._version = -1  # each connection counts by itself

    close = renew

    def _changed(self) -> bool:
        if self._is_replaced():
            return True  # whoever looks finds out
        while True:
            # Not under the lock: it may have to wait until a fork is over, before which `renew` is called.
            fresh = self._connect("SELECT 1") if self._connection is None else None
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
    """PostgreSQL's: https://www.postgresql.org/docs/current/sql-listen.html. By psycopg or psycopg2."""

    def __init__(self, connect: Connect, channel: str) -> None:
        self._connect = connect
        self._listen = f'LISTEN "{channel}"'
        self._selector = selectors.DefaultSelector()
        self._waker = Waker(self._selector)
        self._renewing = False
        try:
            self._open()
        except BaseException:
            self._selector.close()
            self._waker.close()
            raise

    def wait(self, seconds: float | None, *, listening: bool) -> Collection[str] | None:
        if self._renewing:
            self._reopen()
            return ()
        if not self._selector.select(seconds):
            return None
        self._waker.clear()
        try:
            return self._hear()
        except Exception as error:
            raise BrokerUnavailable(f"the connection that listens to PostgreSQL broke: {error}") from error

    def wake(self) -> None:
        self._waker.wake()

    def renew(self) -> None:
        self._renewing = True
        self._waker.wake()

    def close(self) -> None:
        self._selector.close()
        self._waker.close()
        self._connection.close()

    def _open(self) -> None:
        self._connection = self._connect(self._listen)
        self._socket = self._connection.fileno()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def _reopen(self) -> None:
        if self._socket >= 0:
            self._selector.unregister(self._socket)
            self._socket = -1
            self._connection.close()
        self._renewing = False
        try:
            self._open()
        except BaseException:
            self._renewing = True
            raise

    def _hear(self) -> Collection[str] | None:
        """Which streams have been named since the last time; None if nothing was told."""
        if not hasattr(self._connection, "pgconn"):  # psycopg2
            self._connection.poll()
            named = {notice.payload for notice in self._connection.notifies}
            self._connection.notifies.clear()
        else:
            server = self._connection.pgconn
            server.consume_input()
            named = set[str]()
            while notice := server.notifies():
                named.add(notice.extra.decode())
        # Whoever names none has said only that something has grown.
        return None if not named else () if "" in named else named
