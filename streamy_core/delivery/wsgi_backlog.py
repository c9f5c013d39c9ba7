"""What lies back for a client that holds a thread: the replayer reads it, and the thread hands it out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from ..engine.byte_reader import ByteReader
from .delivery import Terms
from .session import Session


class WsgiBacklog:
    """For the client's thread, but for `lose`. The reader is the replayer's while `being_read`.

    held:       whether it has to wait, since the right to it is being looked at.
    being_read: whether the replayer reads the log at the moment.
    caught_up:  whether it has found nothing more there, the last time.
    """

    def __init__(self, reader: ByteReader, terms: Terms) -> None:
        self._reader = reader
        self._terms = terms
        self._read = b""
        self._mark: ByteReader | None = None  # where the reader was before what has been read
        self._lost: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self.held: bool = False
        self.being_read: bool = False
        self.caught_up: bool = False

    @property
    def awaited(self) -> bool:
        """Whether something is on its way that nobody else would bring."""
        return self.held or self.being_read

    def hold(self, session: Session, wake: threading.Event) -> None:
        """See whether it has to wait. The event is set when it needn't any more."""

        def release() -> None:
            self.held = False
            wake.set()

        self.held = self._reader.is_behind
        if self.held and not self._terms.rechecks.hold(session, release):
            self.held = False

    def read(
        self, action: Callable[[], bytes], wake: threading.Event, wanted: Callable[[], bool], key: Hashable
    ) -> None:
        """Have the replayer do it: a backend may be silent, and this thread is wanted elsewhere."""
        self._mark = self._reader.fork() if len(self._reader.position) > 1 else None
        self.being_read = True

        def done(data: bytes) -> None:
            self._read, self.caught_up = data, not data
            self.being_read = False
            wake.set()

        self._terms.replayer.run(action, done, wanted, key)

    def take(self) -> bytes:
        """What has been read, if anything has."""
        data, self._read, self._mark = self._read, b"", None
        return data

    def lose(self, lost: frozenset[str]) -> None:
        """These streams are to be handed out no more. Any thread."""
        with self._lock:
            self._lost |= lost

    def goes_on(self) -> bool:
        """Whether there is anything to be read without those that are lost.

        What has been read with them is read again without.
        """
        with self._lock:
            lost, self._lost = self._lost, frozenset()
        if not lost:
            return True
        if self._mark is not None:
            self._reader.go_back_to(self._mark)
            self._mark, self._read, self.caught_up = None, b"", False
        self._reader.leave_out(lost)
        return bool(self._reader.reading)
