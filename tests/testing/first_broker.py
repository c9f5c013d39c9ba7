"""What an author makes of the skeleton first: everything in a dict, and no watch yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from streamy_core.broker import OLDEST, Broker, Entry, Event, Page, StreamEnded, Watch, bounded

LOGS: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))


def from_url(url: str, options: Mapping[str, Any]) -> Broker:
    return FirstBroker(urlsplit(url).netloc)


class FirstBroker(Broker):
    def __init__(self, log: str) -> None:
        self._streams = LOGS[log]
        self._ended: set[str] = set()

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        if stream_id in self._ended:
            raise StreamEnded(stream_id)
        entries = self._streams[stream_id]
        ids = [str(len(entries) + n) for n in range(1, len(events) + 1)]
        entries += [Entry(entry_id, stream_id, event) for entry_id, event in zip(ids, events, strict=True)]
        return ids

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        return {name: self._page(name, cursor, limit, max_bytes) for name, cursor in cursors.items()}

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return {name: str(len(self._streams[name])) for name in stream_ids}

    def end(self, stream_id: str) -> None:
        self._ended.add(stream_id)

    def watch(self) -> Watch:
        raise NotImplementedError("return a new watch")

    def close(self) -> None:
        raise NotImplementedError("close all watches")

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: int | None) -> Page:
        start = 0 if cursor == OLDEST else int(cursor)
        after = self._streams[stream_id][start:]
        entries = bounded(after, limit, max_bytes)
        more = len(entries) < len(after)
        return Page(entries, str(start + len(entries)), stream_id in self._ended, more=more)
