"""What an author makes of the skeleton first: everything in a dict, and no watch yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from streamy_core import OLDEST, Entry, Event, StreamEnded
from streamy_core.broker import Broker, Page, Watch

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

    def read(self, cursors: Mapping[str, str], limit: int) -> Mapping[str, Page]:
        return {name: self._page(name, cursor, limit) for name, cursor in cursors.items()}

    def tail(self, stream_id: str) -> str:
        return str(len(self._streams[stream_id]))

    def end(self, stream_id: str) -> None:
        self._ended.add(stream_id)

    def watch(self) -> Watch:
        raise NotImplementedError("return a new watch")

    def close(self) -> None:
        raise NotImplementedError("close all watches")

    def _page(self, stream_id: str, cursor: str, limit: int) -> Page:
        start = 0 if cursor == OLDEST else int(cursor)
        entries = self._streams[stream_id][start : start + limit]
        return Page(tuple(entries), str(start + len(entries)), stream_id in self._ended)
