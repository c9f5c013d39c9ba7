"""What can be asked of the tables, and stored in them, with a DB-API cursor (`db`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import OLDEST, Page, StreamInfo, make_id

from .dialect import Dialect
from .pages import DAMAGED, NOWHERE, Range, State, epoch_of, nonce_of, page_after, parts_of

_HEADS: Final = """
    SELECT s.stream_id, s.epoch, s.head, s.end_nonce FROM {streams} s WHERE s.stream_id {among}"""

_CHANGES: Final = """
    SELECT NULL, NULL, {latest_change}, NULL
    UNION ALL SELECT s.stream_id, s.epoch, s.head, s.end_nonce FROM {streams} s WHERE s.changed > :since"""

_NEWEST: Final = """
    SELECT s.stream_id, s.epoch, s.head, e.nonce
    FROM {streams} s LEFT JOIN {entries} e ON e.stream_id = s.stream_id AND e.sequence = s.head
    WHERE s.stream_id {among}"""

_OLDEST: Final = """
    SELECT s.stream_id, s.epoch, s.head, e.sequence, e.nonce
    FROM {streams} s LEFT JOIN {entries} e ON e.stream_id = s.stream_id
        AND e.sequence = (SELECT MIN(o.sequence) FROM {entries} o WHERE o.stream_id = s.stream_id)
    WHERE s.stream_id {among}"""

_REMEMBERED: Final = """
    SELECT s.epoch, k.sequence_before, k.count, k.nonce
    FROM {keys} k, {streams} s WHERE k.idempotency_key = :key AND s.stream_id = :stream_id"""

_KNOWN: Final = """
    SELECT k.idempotency_key, k.sequence_before, k.count, k.nonce FROM {keys} k
    WHERE k.idempotency_key {among}"""

_ALL: Final = """
    SELECT s.stream_id, s.epoch, s.head, s.end_nonce, e.nonce,
           (SELECT MIN(o.sequence) FROM {entries} o WHERE o.stream_id = s.stream_id)
    FROM {streams} s LEFT JOIN {entries} e ON e.stream_id = s.stream_id AND e.sequence = s.head
    ORDER BY s.stream_id"""

_META: Final = "SELECT version, epoch FROM {meta} WHERE id = 1"


class Logs:
    """The logs in the tables of one database. Stateless; any thread, each with a DB-API cursor of its own."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._heads = dialect.render(_HEADS)
        self._changes = dialect.render(_CHANGES)
        self._newest = dialect.render(_NEWEST)
        self._oldest = dialect.render(_OLDEST)
        self._remembered = dialect.render(_REMEMBERED)
        self._remembered_latest = f"{self._remembered} {dialect.latest}"
        self._known = dialect.render(_KNOWN)
        self._all = dialect.render(_ALL)
        self._meta = dialect.render(_META)
        self._first_meta = dialect.render(dialect.first_meta)
        self._finish = dialect.render(dialect.finish)

    def heads(self, db: DBAPICursor, names: Collection[str]) -> dict[str, State]:
        """The state of each of these streams that is there."""
        rows = self._dialect.rows(db, self._heads, self._dialect.among_these(names))
        name_of = self._dialect.name_of
        return {name_of(name): State(*state) for name, *state in rows}

    def changes(self, db: DBAPICursor, since: int) -> tuple[int, dict[str, State]]:
        """When the latest change was, and the state of each stream that has changed after this time.

        since: as a time that was given before, or an earlier one. A change of a transaction that was under
               way then may be missing, if it is older.
        """
        (_, _, latest, _), *rows = self._dialect.rows(db, self._changes, {"since": since})
        name_of = self._dialect.name_of
        return latest, {name_of(name): State(*state) for name, *state in rows}

    def read(
        self, db: DBAPICursor, cursors: Mapping[str, str], limit: int, max_bytes: int, origin: str
    ) -> dict[str, Page]:
        """The page of each stream. Cursors, `limit` and `max_bytes` as for `pages`; a cursor may be OLDEST.

        origin: the cursor of a stream that isn't there.
        """
        from_oldest = [name for name, text in cursors.items() if text == OLDEST]
        oldest = self.before_oldest(db, from_oldest) if from_oldest else {}
        placed = {
            name: oldest.get(name, origin) if text == OLDEST else text for name, text in cursors.items()
        }
        found = self.pages(db, placed, limit, max_bytes)
        pages: dict[str, Page] = {}
        lost: list[str] = []
        for name, text in cursors.items():
            if name not in found:
                pages[name] = Page((), origin, gap=text not in (origin, OLDEST))
            elif found[name] is DAMAGED:
                pages[name] = DAMAGED._replace(cursor=origin, gap=text not in (origin, OLDEST))
            elif page := found[name]:
                pages[name] = page
            else:
                lost.append(name)
        if lost:
            before = self.before_oldest(db, lost)
            trimmed = {name: OLDEST for name in lost if cursors[name] == OLDEST}  # since it was asked for
            pages.update(
                {name: Page((), before.get(name, origin), gap=True) for name in lost if name not in trimmed}
            )
            pages.update(self.read(db, trimmed, limit, max_bytes, origin) if trimmed else {})
        return pages

    def pages(
        self, db: DBAPICursor, cursors: Mapping[str, str], limit: int, max_bytes: int
    ) -> dict[str, Page | None]:
        """The page after each cursor, of those streams that are there; None if it can't be placed.

        limit, max_bytes: of each page.
        """
        parts = {name: parts_of(cursor) for name, cursor in cursors.items()}
        ranges = {name: Range(at.sequence if at else NOWHERE, limit) for name, at in parts.items()}
        return {
            name: page_after(name, parts[name], state, rows, limit, max_bytes) if state.is_sound else DAMAGED
            for name, state, rows in self._dialect.read(db, ranges, max_bytes)
        }

    def newest(self, db: DBAPICursor, names: Collection[str]) -> dict[str, str]:
        """The newest entry's id, of those streams that are there."""
        rows = self._dialect.rows(db, self._newest, self._dialect.among_these(names))
        return {
            self._dialect.name_of(name): make_id(epoch_of(epoch), head, nonce_of(nonce))
            for name, epoch, head, nonce in rows
            if State(epoch, head, None).is_sound
        }

    def before_oldest(self, db: DBAPICursor, names: Collection[str]) -> dict[str, str]:
        """The cursor before the oldest entry, of those streams that are there."""
        rows = self._dialect.rows(db, self._oldest, self._dialect.among_these(names))
        return {
            self._dialect.name_of(name): make_id(epoch_of(epoch), *_before(head, sequence, nonce))
            for name, epoch, head, sequence, nonce in rows
            if State(epoch, head, None).is_sound
        }

    def remembered(self, db: DBAPICursor, stream_id: str, key: str, *, latest: bool) -> list[str] | None:
        """The ids of what was stored under this key, or None.

        latest: whether to see what was committed since the transaction began, which takes a lock.
        """
        db.execute(
            self._remembered_latest if latest else self._remembered,
            {"key": key, "stream_id": self._dialect.stream_id(stream_id)},
        )
        for epoch, before, count, nonce in db.fetchall():
            return [make_id(epoch_of(epoch), before + n, nonce_of(nonce)) for n in range(1, count + 1)]
        return None

    def known(self, db: DBAPICursor, keys: Mapping[str, str]) -> dict[str, list[str]]:
        """The ids of what was stored under these keys, by stream; only of those that are known."""
        streams = {key: name for name, key in keys.items() if key}
        if not streams:
            return {}
        rows = self._dialect.rows(db, self._known, self._dialect.among_texts(streams))
        heads = self.heads(db, [streams[key] for key, *_ in rows]) if rows else {}
        found: dict[str, list[str]] = {}
        for key, before, count, nonce in rows:
            if (state := heads.get(name := streams[key])) is not None:
                epoch = epoch_of(state.epoch)
                found[name] = [make_id(epoch, before + n, nonce_of(nonce)) for n in range(1, count + 1)]
        return found

    def end(self, db: DBAPICursor, stream_id: str, epoch: str, nonce: str) -> None:
        """End a stream, unless it has."""
        db.execute(
            self._finish, {"stream_id": self._dialect.stream_id(stream_id), "epoch": epoch, "nonce": nonce}
        )

    def all(self, db: DBAPICursor) -> Iterator[StreamInfo]:
        """Every stream, by name."""
        for stream_id, epoch, head, end_nonce, nonce, lowest in self._dialect.rows(db, self._all):
            if not State(epoch, head, None).is_sound:
                continue
            before, _ = _before(head, lowest, "")
            name = self._dialect.name_of(stream_id)
            yield StreamInfo(
                name, head - before, make_id(epoch_of(epoch), head, nonce_of(nonce)), end_nonce is not None
            )

    def meta(self, db: DBAPICursor) -> tuple[int, str] | None:
        """The version of the tables, and the epoch of new streams, or None if nobody has set them yet."""
        db.execute(self._meta)
        for version, epoch in db.fetchall():
            return version, epoch
        return None

    def set_meta(self, db: DBAPICursor, version: int, epoch: str) -> None:
        """Set them, unless somebody has."""
        db.execute(self._first_meta, {"version": version, "epoch": epoch})


def _before(head: int, lowest: int | None, nonce: str) -> tuple[int, str]:
    """Sequence and nonce of the cursor before the oldest entry; `lowest` is the lowest row's number.

    A stream's lowest row is that cursor: its first append has made one, and trimming leaves one.
    """
    return (head if type(lowest) is not int or lowest < 0 else lowest, nonce_of(nonce))
