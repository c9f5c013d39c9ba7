"""`directory:///var/lib/streams`: a broker for all processes of a machine. Each stream is a file."""

import fcntl
import json
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from weakref import WeakSet

from streamy_core.broker import (
    OLDEST,
    Broker,
    BrokerFactory,
    BrokerUnavailable,
    Closed,
    Duplicate,
    Entry,
    Event,
    ForkGuard,
    Page,
    PollingWatch,
    StreamEnded,
    Watch,
    bounded,
    hookimpl,
    options_of,
)
from streamy_core.options import option, parse_options, whole

# "count" of all rows ever; "rows" that are left; the cursor "before" them; the "end"; the ids by "keys"
Log = dict[str, Any]
KEYS = 1_000  # so many idempotency keys are remembered of a stream, also of rows that are gone


@hookimpl
def streamy_brokers() -> Mapping[str, BrokerFactory]:
    return {"directory": from_url}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    history: int = option(1_000, whole(1), doc="The newest entries of a stream that are kept.")


def from_url(url: str, options: Mapping[str, Any]) -> Broker:
    given = {**options_of(url), **options}  # directory:///var/lib/streams?history=50; options win
    parsed = parse_options(Options, given, "directory:// option {!r}".format)
    return DirectoryBroker(Path(unquote(urlsplit(url).path)), parsed.history)


class DirectoryBroker(Broker):
    def __init__(self, directory: Path, history: int = 1_000) -> None:
        self._directory = directory
        self._history = history
        self._closed = False
        self._guard = ForkGuard(self._start)

    def _start(self) -> None:
        self._watches: WeakSet[Watch] = WeakSet()  # a parent's aren't the child's to close

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        with self._locked():
            log = self._load(stream_id)
            if not events:
                return []
            key = None if idempotency_key is None else _digest(idempotency_key)
            if key in log["keys"]:
                return Duplicate(log["keys"][key])
            if log["end"]:
                raise StreamEnded(stream_id)
            ids = [_next_id(log) for _ in events]
            for entry_id, event in zip(ids, events, strict=True):
                fields = {"data": event.data, "name": event.name, "retry": event.retry}
                log["rows"].append({"id": entry_id, "event": fields})
            if key:
                log["keys"] = dict([*log["keys"].items(), (key, ids)][-KEYS:])
            if len(log["rows"]) > self._history:
                log["before"] = log["rows"][-self._history - 1]["id"]
                log["rows"] = log["rows"][-self._history :]
            self._store(self._path(stream_id), json.dumps(log))
            return ids

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        share = None if max_bytes is None or not cursors else max_bytes // len(cursors)
        with self._locked():
            return {
                name: _page(self._load(name), name, cursor, limit, share) for name, cursor in cursors.items()
            }

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        with self._locked():
            logs = {name: self._load(name) for name in stream_ids}
        return {name: log["rows"][-1]["id"] if log["rows"] else log["before"] for name, log in logs.items()}

    def end(self, stream_id: str) -> None:
        with self._locked():
            log = self._load(stream_id)
            log["end"] = log["end"] or _next_id(log)
            self._store(self._path(stream_id), json.dumps(log))

    def watch(self) -> Watch:
        with self._locked():
            watch = PollingWatch(self._counts)
            self._watches.add(watch)
            return watch

    def close(self) -> None:
        self._guard.check()
        self._closed = True
        for watch in list(self._watches):
            watch.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._guard.check()
        if self._closed:
            raise Closed("this directory broker has been closed")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with (self._directory / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                try:
                    yield
                finally:
                    fcntl.flock(lock, fcntl.LOCK_UN)  # not by closing: a child forked meanwhile has it open
        except OSError as error:
            raise BrokerUnavailable(str(error)) from error

    def _load(self, stream_id: str) -> Log:
        if (path := self._path(stream_id)).exists():
            return dict(json.loads(path.read_bytes()))
        # One start for all streams, other than that of a directory that was here before.
        if not (start := self._directory / "start").exists():
            self._store(start, secrets.token_hex(8))
        return {"count": 0, "rows": [], "before": start.read_text(), "end": None, "keys": {}}

    def _store(self, path: Path, text: str) -> None:
        fresh = self._directory / "fresh"
        fresh.write_text(text)
        fresh.replace(path)  # whole or not at all

    def _path(self, stream_id: str) -> Path:
        return self._directory / _digest(stream_id)  # any name is a file's name so

    def _counts(self, stream_ids: Collection[str]) -> dict[str, int]:
        with self._locked():
            return {name: self._load(name)["count"] for name in stream_ids}


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _next_id(log: Log) -> str:
    log["count"] += 1
    return f"{log['count']}.{secrets.token_hex(4)}"


def _page(log: Log, stream_id: str, cursor: str, limit: int, max_bytes: int | None) -> Page:
    ids = [row["id"] for row in log["rows"]]
    if cursor == log["end"]:
        return Page((), cursor, ended=True)
    if cursor not in (OLDEST, log["before"], *ids):
        return Page((), log["before"], gap=True)
    rows = log["rows"][ids.index(cursor) + 1 if cursor in ids else 0 :]
    found = (Entry(row["id"], stream_id, Event(**row["event"])) for row in rows)
    entries = bounded(found, limit, max_bytes)
    more = len(entries) < len(rows)
    if log["end"] and not more:
        return Page(entries, log["end"], ended=True)
    return Page(entries, entries[-1].id if entries else cursor or log["before"], more=more)
