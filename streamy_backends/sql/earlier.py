"""Finds earlier cursors with a DB-API cursor (`db`): by the index, whatever lies in between."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import OLDEST, UNPLACEABLE, make_id

from .dialect import Dialect
from .pages import State, epoch_of, nonce_of, parts_of

_LOWEST: Final = "(SELECT MIN(l.sequence) FROM {entries} l WHERE l.stream_id = s.stream_id)"

_BEFORE_HEAD: Final = f"""
    SELECT s.stream_id, s.epoch, s.head, e.sequence, e.nonce, {_LOWEST}
    FROM {{streams}} s LEFT JOIN {{entries}} e ON e.stream_id = s.stream_id AND e.sequence = (
        SELECT MAX(o.sequence) FROM {{entries}} o
        WHERE o.stream_id = s.stream_id AND o.sequence <= s.head - :count)
    WHERE s.stream_id {{among}}"""

_BEFORE_CURSOR: Final = f"""
    SELECT s.epoch, s.head, s.end_nonce, e.sequence, e.nonce, {_LOWEST}
    FROM {{streams}} s LEFT JOIN {{entries}} e ON e.stream_id = s.stream_id AND e.sequence IN (:at, (
        SELECT MAX(o.sequence) FROM {{entries}} o WHERE o.stream_id = s.stream_id AND o.sequence <= :target))
    WHERE s.stream_id = :stream_id"""

_OLDER: Final = f"""
    SELECT s.stream_id, s.epoch, s.head, e.sequence, e.nonce, {_LOWEST}
    FROM {{streams}} s LEFT JOIN {{entries}} e ON e.stream_id = s.stream_id AND e.sequence = (
        SELECT o.sequence FROM {{entries}} o WHERE o.stream_id = s.stream_id AND o.stored_at < :began
        ORDER BY o.sequence DESC LIMIT 1)
    WHERE s.stream_id {{among}}"""


class EarlierCursors:
    """Stateless; any thread, each with a DB-API cursor of its own."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._before_head = dialect.render(_BEFORE_HEAD)
        self._before_cursor = dialect.render(_BEFORE_CURSOR)
        self._older = dialect.render(_OLDER)

    def back(self, db: DBAPICursor, cursors: Mapping[str, str | None], entries: int) -> dict[str, str]:
        """As `ReadsBack.back`."""
        from_head = [name for name, cursor in cursors.items() if cursor is None]
        found = self._find(db, self._before_head, from_head, count=entries) if from_head else {}
        for name, cursor in cursors.items():
            if cursor is not None:
                found[name] = self._before(db, name, cursor, entries)
        return found

    def since(self, db: DBAPICursor, names: Collection[str], began: int) -> dict[str, str]:
        """As `ReadsBack.since`. began: in milliseconds since 1970."""
        return self._find(db, self._older, names, began=began)

    def _find(self, db: DBAPICursor, sql: str, names: Collection[str], **more: int) -> dict[str, str]:
        found = dict.fromkeys(names, OLDEST)
        for name, epoch, head, sequence, nonce, lowest in self._dialect.rows(
            db, sql, {**self._dialect.among_these(names), **more}
        ):
            if State(epoch, head, None).is_sound:
                found[self._dialect.name_of(name)] = _cursor_of(epoch, sequence, nonce, lowest)
        return found

    def _before(self, db: DBAPICursor, stream_id: str, cursor: str, entries: int) -> str:
        if cursor == OLDEST:
            return OLDEST
        if (at := parts_of(cursor)) is None:
            return UNPLACEABLE
        target = at.sequence - entries
        rows = self._dialect.rows(
            db,
            self._before_cursor,
            {"stream_id": self._dialect.stream_id(stream_id), "at": at.sequence, "target": target},
        )
        if not rows:
            return OLDEST
        epoch, head, end_nonce, _, _, lowest = rows[0]
        if end_nonce is not None and (at.sequence, at.nonce) == (head + 1, nonce_of(end_nonce)):
            return self.back(db, {stream_id: None}, entries)[stream_id]
        nonces = {sequence: nonce_of(nonce) for _, _, _, sequence, nonce, _ in rows}
        if epoch_of(epoch) != at.epoch or nonces.get(at.sequence) != at.nonce:
            return UNPLACEABLE
        found = min(nonces)  # or the nearest, where somebody has made a hole
        return _cursor_of(epoch, found if found <= target else None, nonces[found], lowest)


def _cursor_of(epoch: Any, sequence: int | None, nonce: Any, lowest: int | None) -> str:
    """The cursor of this row. A stream's lowest row is the cursor before its oldest entry."""
    if sequence is None or sequence == lowest:
        return OLDEST
    return make_id(epoch_of(epoch), sequence, nonce_of(nonce))
