"""Brokers that each break one promise in a fork, or when a process is killed."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...broker import BaseWatch, BrokerUnavailable, Event
from .appending import Ids
from .breaking import breaks
from .sharing import HearsItsOwnProcessOnly, KeepsEndsInMemory
from .sound import Log, SoundBroker


@breaks(a_process_killed_in_an_append_leaves_whole_batches_and_holds_nobody_up="torn, lost or doubled")
class StoresABatchInTwoHalves(SoundBroker):
    def _store(self, log: Log, stream_id: str, events: Sequence[Event]) -> list[str]:
        first = super()._store(log, stream_id, events[::2])
        self._save()
        time.sleep(0.005)
        return first + super()._store(log, stream_id, events[1::2])


@breaks(a_process_killed_in_an_append_leaves_whole_batches_and_holds_nobody_up="")
class RemembersTheKeyAfterwards(SoundBroker):
    """Killed between the two, it has stored entries of which their key says nothing."""

    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        with self.opened():
            if idempotency_key and (known := self.log(stream_id).keys.get(idempotency_key)):
                return known
        ids = super().append(stream_id, events)
        time.sleep(0.005)
        with self.opened(to_write=True):
            if idempotency_key:
                self._log_for_writing(stream_id).keys[idempotency_key] = ids
        return ids


@breaks(
    a_process_killed_in_an_append_leaves_whole_batches_and_holds_nobody_up="is held for ever",
    a_process_killed_in_an_end_leaves_streams_that_have_ended_or_not="",
)
class LeavesItsLockBehind(SoundBroker):
    """Its lock is a file, which nobody deletes for a process that was killed."""

    @contextmanager
    def _locked(self, folder: Path) -> Generator[None]:
        end = time.monotonic() + 2
        while True:
            try:
                (folder / "held").touch(exist_ok=False)
                break
            except FileExistsError:
                if time.monotonic() > end:
                    raise BrokerUnavailable("somebody else holds the lock") from None
        time.sleep(0.001)
        try:
            yield
        finally:
            (folder / "held").unlink()


@breaks(a_process_killed_in_an_end_leaves_streams_that_have_ended_or_not="an acknowledged end is gone")
class EndsLater(SoundBroker):
    """An end is acknowledged before it is stored, which the next call does."""

    due: str | None = None

    def end(self, stream_id: str) -> None:
        if self.due is not None:
            super().end(self.due)
        self.due = stream_id


@breaks(what_a_process_did_outlives_it="an end is lost with its process", an_end_holds_in_every_process="")
class UndoesAnEnd(KeepsEndsInMemory):
    """Whoever opens the log makes it go on."""


@breaks(
    a_forked_process_and_its_parent_both_go_on="",
    a_forked_process_hears_bells_and_its_parent_too="the child's own watch hears nothing",
    a_fork_while_other_threads_append_and_read_disturbs_nobody="the child could not use the broker, or hangs",
)
class DiesInAFork(SoundBroker):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._made_in = os.getpid()

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if os.getpid() != self._made_in:
            raise BrokerUnavailable("the thread that does this is another process's")
        return super().append(stream_id, events, **key)


@breaks(a_fork_while_other_threads_append_and_read_disturbs_nobody="could not use the broker, or hangs")
class KeepsItsParentsLock(SoundBroker):
    """A lock that another thread held at the fork is never released in the child."""

    def _start(self) -> None:
        if not hasattr(self, "_mutex"):
            super()._start()


@breaks(a_fork_while_other_threads_append_and_read_disturbs_nobody="could not use the broker, or hangs")
class InheritsTheFileLock(SoundBroker):
    """It releases the file's lock by closing it: a child that was forked meanwhile has it open for ever."""

    @contextmanager
    def _locked(self, folder: Path) -> Generator[None]:
        lock = self.lock_of(folder)
        try:
            yield
        finally:
            lock.close()


@breaks(a_child_that_closes_the_broker_takes_nothing_from_its_parent="")
class IsClosedByItsChild(SoundBroker):
    """A child's farewell to the server is its parent's, too."""

    forked: bool = False

    def close(self) -> None:
        if self.forked and self._folder is not None:
            (self._folder / "closed").touch()
        super().close()

    def _ring(self, stream_id: str) -> None:
        if self._folder is not None and not (self._folder / "closed").exists():
            super()._ring(stream_id)

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if self._folder is not None and (self._folder / "closed").exists():
            raise BrokerUnavailable("the connection has been closed")
        return super().append(stream_id, events, **key)

    def _start(self) -> None:
        self.forked = hasattr(self, "_mutex")
        super()._start()


@breaks(a_forked_process_hears_bells_and_its_parent_too="the child's own watch hears nothing")
class RingsParentsWatchesOnly(SoundBroker):
    forked: bool = False

    def _start(self) -> None:
        self.forked = hasattr(self, "_mutex")
        super()._start()

    def _new_watch(self) -> BaseWatch:
        return HearsNothing(self._unwatch, self) if self.forked else super()._new_watch()


class HearsNothing(HearsItsOwnProcessOnly):
    def ring(self, stream_ids: Any) -> None:
        pass
