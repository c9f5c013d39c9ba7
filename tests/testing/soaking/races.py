"""Brokers for all processes of a machine, each with one race that shows now and then: a soak finds them."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamy_core.broker import (
    OLDEST,
    Broker,
    BrokerUnavailable,
    Duplicate,
    Event,
    FixedPolling,
    Page,
    PollingWatch,
    StreamEnded,
    Watch,
)

from ...support import ROOT


def _example() -> Any:
    """The guide's broker, as other processes can import it, too."""
    if "directory_broker" not in sys.modules:
        path = ROOT / "docs" / "examples" / "directory_broker.py"
        spec = importlib.util.spec_from_file_location("directory_broker", path)
        assert spec
        assert spec.loader
        sys.modules["directory_broker"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["directory_broker"]


example = _example()


def now_and_then(times: int) -> bool:
    """True once in so many calls."""
    return random.randrange(times) == 0


class Sound(example.DirectoryBroker):  # type: ignore[misc]
    """The guide's broker, whose bells are heard soon, so that a soak is over soon."""

    rings_within = 0.2
    look: type[PollingWatch] = PollingWatch

    def watch(self) -> Watch:
        with self._locked():
            watch = self.look(self.states, FixedPolling(0.02))
            self._watches.add(watch)
            return watch

    def states(self, stream_ids: Collection[str]) -> dict[str, object]:
        """As `_counts`, but soon also where there are hundreds of streams."""
        files = {name: self._path(name) for name in stream_ids}
        states = {name: path.stat() for name, path in files.items() if path.exists()}
        return {name: (state.st_ino, state.st_mtime_ns) for name, state in states.items()}

    def save(self, stream_id: str, log: dict[str, Any]) -> None:
        self._store(self._path(stream_id), json.dumps(log))

    def put(
        self, stream_id: str, events: Sequence[Event], log: dict[str, Any], ids: Sequence[str] = ()
    ) -> list[str]:
        """Store them without asking anything, under these ids, in their order, or under new ones."""
        ids = list(ids) or [example._next_id(log) for _ in events]
        for entry_id, event in zip(ids, events, strict=True):
            fields = {"data": event.data, "name": event.name, "retry": event.retry}
            log["rows"].append({"id": entry_id, "event": fields})
        log["rows"].sort(key=lambda row: int(row["id"].partition(".")[0]))
        self.trim(log)
        self.save(stream_id, log)
        return ids

    def trim(self, log: dict[str, Any]) -> None:
        if len(log["rows"]) > self._history:
            log["before"] = log["rows"][-self._history - 1]["id"]
            log["rows"] = log["rows"][-self._history :]


class ForgetfulWatch(PollingWatch):
    def wait(self, timeout: float | None) -> Collection[str]:
        return [name for name in super().wait(timeout) if not now_and_then(10)]


class LosesBells(Sound):
    """A bell is lost now and then, as where a message is dropped."""

    look = ForgetfulWatch


class LateWatch(PollingWatch):
    """What is there when it first looks, which is later than it was added, it takes for old."""

    def _find(self) -> Mapping[str, Any]:
        found = super()._find()
        with self._lock:
            self._seen.update({name: found[name] for name in self._unseen & found.keys()})
            self._unseen.difference_update(found)
        return found


class MissesWhatComesDuringAdd(Sound):
    look = LateWatch


class ChecksKeysApart(Sound):
    """Whether a key was used before is asked in another transaction than the one that stores."""

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        if idempotency_key is None:
            return list(super().append(stream_id, events))
        key = example._digest(idempotency_key)
        with self._locked():
            known = self._load(stream_id)["keys"].get(key)
        if known:
            return Duplicate(known)
        ids = list(super().append(stream_id, events))
        with self._locked():
            log = self._load(stream_id)
            log["keys"][key] = ids
            self.save(stream_id, log)
        return ids


class DropsOneIn500(Sound):
    """An append is acknowledged, and dropped, as where a reply comes before the commit."""

    def _store(self, path: Path, text: str) -> None:
        if not now_and_then(500) or path.name == "start":
            super()._store(path, text)


class StoresAgainAfterAFailure(Sound):
    """The key is stored after the events, and the second step fails now and then."""

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        if idempotency_key is not None and now_and_then(50):
            with self._locked():
                known = example._digest(idempotency_key) in self._load(stream_id)["keys"]
            if not known:
                super().append(stream_id, events)
                raise BrokerUnavailable("the connection is gone")
        return list(super().append(stream_id, events, idempotency_key=idempotency_key))


class StoresBatchesOneByOne(Sound):
    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        if idempotency_key is not None:
            return list(super().append(stream_id, events, idempotency_key=idempotency_key))
        return [entry_id for event in events for entry_id in super(Sound, self).append(stream_id, [event])]


class ShowsWhatIsCommittedLateInItsPlace(Sound):
    """Numbers are given out before the entries are there: who has read on has passed those that come late."""

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        if idempotency_key is not None or not now_and_then(5):
            return list(super().append(stream_id, events, idempotency_key=idempotency_key))
        with self._locked():
            log = self._load(stream_id)
            if log["end"]:
                raise StreamEnded(stream_id)
            ids = [example._next_id(log) for _ in events]
            self.save(stream_id, log)
        time.sleep(0.005)
        with self._locked():
            return self.put(stream_id, events, self._load(stream_id), ids)


class TellsIdsOutOfOrder(Sound):
    """A batch is told its ids mixed up now and then, as where each entry's reply is awaited by itself."""

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        ids = super().append(stream_id, events, idempotency_key=idempotency_key)
        return sorted(ids, key=lambda entry_id: entry_id.partition(".")[2]) if now_and_then(20) else ids


class PutsItBeforeTheNewest(Sound):
    """An entry is put before one that was acknowledged already, as where two clocks give the order."""

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        ids = list(super().append(stream_id, events, idempotency_key=idempotency_key))
        if len(ids) == 1 and now_and_then(100):
            with self._locked():
                log = self._load(stream_id)
                if len(log["rows"]) > 1 and log["rows"][-1]["id"] == ids[0]:
                    log["rows"][-2:] = reversed(log["rows"][-2:])
                    self.save(stream_id, log)
        return ids


class AppendsAfterTheEnd(Sound):
    """Of a stream that was open it isn't asked again at once whether it has ended."""

    _was_open: dict[str, float] = {}  # noqa: RUF012 - what a process remembers

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        if idempotency_key is not None or time.monotonic() - self._was_open.get(stream_id, 0) > 1:
            ids = list(super().append(stream_id, events, idempotency_key=idempotency_key))
            self._was_open[stream_id] = time.monotonic()
            return ids
        with self._locked():
            return self.put(stream_id, events, self._load(stream_id))


class SkipsInSilence(Sound):
    """Who comes after a trim goes on with the oldest that is left, and isn't told of a gap."""

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        pages = super().read(cursors, limit, max_bytes)
        lost = dict.fromkeys([name for name, page in pages.items() if page.gap], OLDEST)
        return {**pages, **super().read(lost, limit, max_bytes)} if lost else pages


class CanNotBeWatched(Sound):
    """It is no race, but a soak finds it all the same."""

    def watch(self) -> Watch:
        raise NotImplementedError("no watch yet")


RACES: tuple[type[Sound], ...] = (
    LosesBells,
    MissesWhatComesDuringAdd,
    ChecksKeysApart,
    DropsOneIn500,
    StoresAgainAfterAFailure,
    StoresBatchesOneByOne,
    ShowsWhatIsCommittedLateInItsPlace,
    TellsIdsOutOfOrder,
    PutsItBeforeTheNewest,
    AppendsAfterTheEnd,
    SkipsInSilence,
)


@dataclass(frozen=True)
class Making:
    """Makes brokers of a kind. A `MakeBroker`."""

    kind: Callable[[Path, int], Broker]
    folder: Path

    def __call__(self, log: str = "log", *, history: int = 10_000) -> Broker:
        return self.kind(self.folder / log, history)
