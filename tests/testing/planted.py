"""Brokers with one mistake each, which shows only after certain calls: for `BrokerMachine` to find."""

from __future__ import annotations

from streamy_core.broker import OLDEST, Entry, Page, bounded
from streamy_core.testing.mutants.sound import Log, SoundBroker


class UsesIdsAgainAfterATrim(SoundBroker):
    """It counts what is left."""

    def _trim(self, log: Log) -> None:
        super()._trim(log)
        if log.count > len(log.entries):
            log.count = len(log.entries)


class ForgetsKeysWithTheirEntries(SoundBroker):
    def _trim(self, log: Log) -> None:
        super()._trim(log)
        kept = {entry.id for entry in log.entries}
        log.keys = {key: ids for key, ids in log.keys.items() if kept.intersection(ids)}


class ForgetsEndsWhenItIsOpened(SoundBroker):
    def _load(self) -> None:
        is_new = self._seen is None
        super()._load()
        if is_new:
            for log in self._logs.values():
                log.end = None


class TakesAnyCursorForTheOldest(SoundBroker):
    """What can't be placed is read from the oldest entry that is left, and no gap."""

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: int | None) -> Page:
        page = super()._page(stream_id, cursor, limit, max_bytes)
        return super()._page(stream_id, OLDEST, limit, max_bytes) if page.gap else page


class ReadsOneLessFromTheMiddle(SoundBroker):
    """A page that doesn't begin with the oldest entry has one entry less than its limit allows."""

    def _page(self, stream_id: str, cursor: str, limit: int, max_bytes: int | None) -> Page:
        page = super()._page(stream_id, cursor, limit, max_bytes)
        if not page.more or limit == 1 or not self.log(stream_id).place(cursor):
            return page
        entries: tuple[Entry, ...] = bounded(page.entries, limit - 1, None)
        return page._replace(entries=entries, cursor=entries[-1].id)


PLANTED = {
    UsesIdsAgainAfterATrim: "ids were used before",
    ForgetsKeysWithTheirEntries: "stored .* before, and now returns",
    ForgetsEndsWhenItIsOpened: "ended=False, where it is True|a stream that has ended takes no more",
    TakesAnyCursorForTheOldest: "isn't told of a gap",
    ReadsOneLessFromTheMiddle: r"with limit=\d and .* come .*, where .* should",
}
"""What each is caught by."""
