"""A broker in one file, for tests whose app and command are processes of their own. Slow, and simple."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from streamy_core.broker import (
    OLDEST,
    Broker,
    Duplicate,
    Entry,
    Event,
    FixedPolling,
    Page,
    PollingWatch,
    StreamEnded,
    Watch,
    bounded,
    make_id,
    new_nonce,
)

_START = make_id("file", 0, "000")


class FileBroker(Broker):
    """Every line of the file is an entry, or a stream's end. Nothing is ever trimmed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._path.touch()

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        with self._locked() as file:
            known = [row for row in _rows(file) if row["stream"] == stream_id]
            if repeated := [
                row["id"] for row in known if idempotency_key and row.get("key") == idempotency_key
            ]:
                return Duplicate(repeated)
            if any(row.get("ended") for row in known):
                raise StreamEnded(stream_id)
            ids = [make_id("file", len(known) + n, new_nonce()) for n in range(1, len(events) + 1)]
            for entry_id, event in zip(ids, events, strict=True):
                fields = {"data": event.data, "name": event.name, "retry": event.retry}
                _write(file, {"stream": stream_id, "id": entry_id, "key": idempotency_key, **fields})
            return ids

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        with self._locked() as file:
            rows = _rows(file)
        share = max_bytes and max_bytes // len(cursors)
        return {
            name: _page([row for row in rows if row["stream"] == name], cursor, limit, share)
            for name, cursor in cursors.items()
        }

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        with self._locked() as file:
            newest = {row["stream"]: row["id"] for row in _rows(file) if not row.get("ended")}
        return {name: newest.get(name, _START) for name in stream_ids}

    def end(self, stream_id: str) -> None:
        with self._locked() as file:
            known = [row for row in _rows(file) if row["stream"] == stream_id]
            if not any(row.get("ended") for row in known):
                entry_id = make_id("file", len(known) + 1, new_nonce())
                _write(file, {"stream": stream_id, "id": entry_id, "ended": True})

    def watch(self) -> Watch:
        return PollingWatch(self._states, FixedPolling(0.005))

    def close(self) -> None:
        pass

    def _states(self, stream_ids: Collection[str]) -> Mapping[str, int]:
        return dict.fromkeys(stream_ids, self._path.stat().st_size)

    @contextmanager
    def _locked(self) -> Iterator[IO[str]]:
        with self._path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _rows(file: IO[str]) -> list[dict[str, Any]]:
    file.seek(0)
    return [json.loads(line) for line in file]


def _write(file: IO[str], row: dict[str, Any]) -> None:
    file.seek(0, 2)
    file.write(json.dumps(row) + "\n")


def _page(rows: list[dict[str, Any]], cursor: str, limit: int, max_bytes: int | None) -> Page:
    ids = [row["id"] for row in rows]
    if cursor not in (OLDEST, _START, *ids):
        return Page((), _START, gap=True)
    after = rows[ids.index(cursor) + 1 if cursor in ids else 0 :]
    found = [
        Entry(row["id"], row["stream"], Event(row["data"], row["name"], row["retry"]))
        for row in after
        if not row.get("ended")
    ]
    entries = bounded(found, limit, max_bytes)
    more = len(entries) < len(found)
    if rows and rows[-1].get("ended") and not more:
        return Page(entries, ids[-1], ended=True)
    return Page(entries, entries[-1].id if entries else cursor or _START, more=more)
