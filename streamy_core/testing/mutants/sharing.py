"""Brokers and watches that each break one promise between processes, in forks, or when one is killed."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...broker import BaseWatch, Event, Page, StreamEnded
from .appending import Bound, Ids, Pages
from .breaking import breaks
from .sound import Log, SharedWatch, SoundBroker

_EVERYWHERE: dict[Path | None, dict[str, Log]] = {}
NEVER = "the watch never named"
OTHER_LOGS = "the processes read different logs"


@breaks(
    what_one_process_appends_another_reads="",
    a_cursor_of_one_process_holds_in_another="that nothing has caused",
    an_end_holds_in_every_process="appends to a stream that has ended",
    an_end_by_another_process_holds_here="DID NOT RAISE",
    a_key_holds_in_every_process="answered by every other with the same ids",
    processes_that_publish_at_once_make_one_log=OTHER_LOGS,
    what_was_appended_outlives_the_broker="takes nothing away from others",
    what_a_process_did_outlives_it="entries are lost with their process",
    streams_of_other_processes_are_listed="",
)
class IsADictThatSaysItIsShared(SoundBroker):
    """All brokers of a process have one dict: another process has another."""

    def __init__(self, folder: Path | None = None, history: int = 10_000) -> None:
        super().__init__(None, history)
        self.shared = True
        self._logs = _EVERYWHERE.setdefault(folder, {})


class HasAnotherWatch(SoundBroker):
    """A base: watches of another kind."""

    kind: type[SharedWatch] = SharedWatch

    def _new_watch(self) -> BaseWatch:
        return self.kind(self._unwatch, self)


class HearsItsOwnProcessOnly(SharedWatch):
    def look(self) -> None:
        pass


@breaks(
    a_bell_rings_in_every_process=NEVER,
    a_bell_of_another_process_is_heard_here=NEVER,
    an_end_rings_in_every_process=NEVER,
    processes_answer_each_other_bell_by_bell=NEVER,
    no_bell_between_processes_is_lost="",
    a_bell_is_heard_from_add_on_whoever_rings_it=NEVER,
    what_a_killed_process_stored_others_go_on_from=NEVER,
)
class RingsInItsOwnProcessOnly(HasAnotherWatch):
    kind: type[SharedWatch] = HearsItsOwnProcessOnly


class KnowsNoEnds(SharedWatch):
    def head_of(self, stream_id: str) -> object:
        return self._broker.log(stream_id).last


@breaks(an_end_rings_in_every_process=NEVER)
class EndsInSilenceElsewhere(HasAnotherWatch):
    kind: type[SharedWatch] = KnowsNoEnds


class ConfirmsLater(SharedWatch):
    """It notes where a stream is at its next wait, and not when it is added."""

    def add(self, stream_id: str) -> None:
        with self._lock:
            self._names.add(stream_id)

    def wait(self, timeout: float | None) -> Collection[str]:
        for name in self._names - self._known.keys():
            super().add(name)
        return super().wait(timeout)


@breaks(a_bell_is_heard_from_add_on_whoever_rings_it=NEVER)
class SubscribesLater(HasAnotherWatch):
    kind: type[SharedWatch] = ConfirmsLater


class IsLate(SharedWatch):
    """It hears of other processes 3 seconds late."""

    due: float = 0.0

    def look(self) -> None:
        self.due = self.due or time.monotonic() + 3
        if time.monotonic() > self.due:
            self.due = 0.0
            super().look()
        else:
            self._state = None


@breaks(
    a_bell_rings_in_every_process=NEVER,
    a_bell_of_another_process_is_heard_here=NEVER,
    processes_answer_each_other_bell_by_bell=NEVER,
)
class RingsThreeSecondsLateElsewhere(HasAnotherWatch):
    kind: type[SharedWatch] = IsLate


class LooksAtNumbers(SharedWatch):
    def head_of(self, stream_id: str) -> object:
        file = self._broker.file.with_name(f"number of {stream_id}")
        return file.read_text() if file.exists() else ""

    def _listen(self, timeout: float | None) -> None:
        super()._listen(timeout)
        if not self._closed:
            self.look()


@breaks(
    no_bell_between_processes_is_lost="named these too early",
    processes_answer_each_other_bell_by_bell="only when there was nothing to be read yet",
)
class NumbersAreSeenBeforeTheData(HasAnotherWatch):
    """A bell rings when the data can't be read yet."""

    kind: type[SharedWatch] = LooksAtNumbers

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if self._folder is not None:
            number = self._folder / f"number of {stream_id}"
            number.write_text(f"{time.monotonic_ns()}")
            time.sleep(0.01)
        return super().append(stream_id, events, **key)

    def _ring(self, stream_id: str) -> None:
        pass


class RingsOneOfManyWatch(SharedWatch):
    """Of several streams that have grown it names the last."""

    def _mark(self, stream_ids: Any) -> None:
        super()._mark(list(stream_ids)[-1:])


@breaks(no_bell_between_processes_is_lost="", a_bell_is_heard_from_add_on_whoever_rings_it=NEVER)
class RingsForOneOfMany(HasAnotherWatch):
    kind: type[SharedWatch] = RingsOneOfManyWatch


@breaks(
    a_key_holds_in_every_process="answered by every other with the same ids",
    one_key_from_many_processes_stores_once="stored more than once",
    a_key_is_known_to_every_broker_on_the_log="unknown to another on the same log",
    what_a_process_did_outlives_it="",
)
class KnowsItsOwnKeysOnly(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        own = None if idempotency_key is None else f"{os.getpid()} {id(self)} {idempotency_key}"
        if idempotency_key is not None and (log := self.log(stream_id)).end is not None and own in log.keys:
            return log.keys[own]
        return super().append(stream_id, events, idempotency_key=own)


@breaks(one_key_from_many_processes_stores_once="stored more than once")
class LooksKeysUpInAnotherTransaction(SoundBroker):
    def append(self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None) -> Ids:
        if idempotency_key is None or not events:
            return super().append(stream_id, events)
        with self.opened():
            if known := self.log(stream_id).keys.get(idempotency_key):
                return known
        time.sleep(0.001)
        ids = super().append(stream_id, events)
        with self.opened(to_write=True):
            return self._log_for_writing(stream_id).keys.setdefault(idempotency_key, ids)


@breaks(
    an_end_holds_in_every_process="appends to a stream that has ended",
    an_end_by_another_process_holds_here="DID NOT RAISE",
    an_end_rings_in_every_process=NEVER,
)
class KeepsEndsInMemory(SoundBroker):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._ends: dict[str, str] = {}

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if stream_id in self._ends:
            raise StreamEnded(stream_id)
        return super().append(stream_id, events, **key)

    def end(self, stream_id: str) -> None:
        with self.opened():
            self._ends.setdefault(stream_id, self._id_after(self.log(stream_id)))

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: Bound) -> Page:
        page = super()._page(stream_id, cursor, limit, max_bytes)
        end = self._ends.get(stream_id)
        return page if page.more or end is None else page._replace(ended=True, cursor=end)


@breaks(what_one_process_appends_another_reads=OTHER_LOGS, processes_that_publish_at_once_make_one_log="")
class ReadsItsOwnEntriesFirst(SoundBroker):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._own: set[str] = set()

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        ids = super().append(stream_id, events, **key)
        self._own.update(ids)
        return ids

    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return {
            name: page._replace(
                entries=tuple(sorted(page.entries, key=lambda each: each.id not in self._own))
            )
            for name, page in super().read(cursors, limit, max_bytes).items()
        }


@breaks(a_cursor_of_one_process_holds_in_another="that nothing has caused")
class KeepsTailsToItself(SoundBroker):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        with self.opened():
            known = {name for name in stream_ids if name in self._logs}
        tails = super().tail(stream_ids)
        return {name: tail if name in known else f"tail.{os.getpid()}" for name, tail in tails.items()}

    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        own = f"tail.{os.getpid()}"
        return super().read({name: "" if at == own else at for name, at in cursors.items()}, limit, max_bytes)


@breaks(processes_that_publish_at_once_make_one_log="lost entries, or their order")
class LocksItsOwnProcessOnly(SoundBroker):
    """What two processes load at once, the later one stores over."""

    @contextmanager
    def _locked(self, folder: Path) -> Generator[None]:
        yield

    def _save(self) -> None:
        fresh = self.file.with_name(f"fresh {os.getpid()}")
        self._write(fresh)


@breaks(what_was_appended_outlives_the_broker="takes nothing away from others")
class TakesItsLogAlong(SoundBroker):
    def close(self) -> None:
        if not self._closed:
            with self.opened(to_write=True):
                self._logs.clear()
        super().close()


@breaks(
    what_was_appended_outlives_the_broker="",
    what_a_process_did_outlives_it="entries are lost with their process",
    a_process_killed_in_an_append_leaves_whole_batches_and_holds_nobody_up="a batch of its is torn, lost or",
)
class StoresLater(SoundBroker):
    """An append is acknowledged before it is stored; closing stores nothing more."""

    due: float = 0.0

    def _save(self) -> None:
        self.due = self.due or time.monotonic() + 0.02
        if self._seen is None or time.monotonic() > self.due:
            self.due = 0.0
            super()._save()

    def _load(self) -> None:
        if not self.due:
            super()._load()


@breaks(streams_of_other_processes_are_listed="theirs")
class ListsItsOwnStreams(SoundBroker):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._own: set[str] = set()

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        self._own.add(stream_id)
        return super().append(stream_id, events, **key)

    def streams(self) -> Any:
        return [info for info in super().streams() if info.stream_id in self._own]
