"""What can be asked of the tables, and told to them, with a cursor."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import StreamInfo
from streamy_core.events import Page
from streamy_core.ids import make_id

from .dialect import Dialect
from .pages import NO_ENTRY, Row, State, page_after, place_of

_HEADS: Final = """
    SELECT s.stream_id, s.epoch, s.head, s.end_nonce FROM {streams} s WHERE s.stream_id {among}"""

_NEWEST: Final = """
    SELECT s.epoch, s.head, e.nonce
    FROM {streams} s LEFT JOIN {entries} e ON e.stream_id = s.stream_id AND e.sequence = s.head
    WHERE s.stream_id = :stream_id"""

_OLDEST: Final = """
    SELECT s.stream_id, s.epoch, s.head, e.sequence, e.nonce
    FROM {streams} s LEFT JOIN {entries} e ON e.stream_id = s.stream_id
        AND e.sequence = (SELECT MIN(o.sequence) FROM {entries} o WHERE o.stream_id = s.stream_id)
    WHERE s.stream_id {among}"""

_REMEMBERED: Final = """
    SELECT s.epoch, k.sequence_before, k.count, k.nonce
    FROM {keys} k, {streams} s WHERE k.idempotency_key = :key AND s.stream_id = :stream_id"""

_ALL: Final = """
    SELECT s.stream_id, s.epoch, s.head, s.end_nonce, e.nonce,
           (SELECT MIN(o.sequence) FROM {entries} o WHERE o.stream_id = s.stream_id)
    FROM {streams} s LEFT JOIN {entries} e ON e.stream_id = s.stream_id AND e.sequence = s.head
    ORDER BY s.stream_id"""

_META: Final = "SELECT version, epoch FROM {meta} WHERE id = 1"


class Logs:
    """The logs in the tables of one database. Stateless; any thread, each with a cursor of its own."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._heads = dialect.render(_HEADS)
        self._newest = dialect.render(_NEWEST)
        self._oldest = dialect.render(_OLDEST)
        self._remembered = dialect.render(_REMEMBERED)
        self._remembered_latest = f"{self._remembered} {dialect.latest}"
        self._all = dialect.render(_ALL)
        self._meta = dialect.render(_META)
        self._first_meta = dialect.render(dialect.first_meta)
        self._finish = dialect.render(dialect.finish)

    def heads(self, cursor: DBAPICursor, names: Collection[str]) -> dict[str, State]:
        """The state of each of these streams that is there."""
        cursor.execute(self._heads, self._dialect.among_these(names))
        name_of = self._dialect.name_of
        return {name_of(name): State(*state) for name, *state in cursor.fetchall()}

    def pages(self, cursor: DBAPICursor, cursors: Mapping[str, str], most: int) -> dict[str, Page | None]:
        """The page behind each cursor, of those streams that are there; None if it can't be placed."""
        places = {name: place.sequence if (place := place_of(text)) else -1 for name, text in cursors.items()}
        cursor.execute(*self._dialect.behind(places, most))
        states: dict[str, State] = {}
        rows: dict[str, list[Row]] = {}
        for stream_id, epoch, head, end_nonce, *row in cursor.fetchall():
            name = self._dialect.name_of(stream_id)
            if epoch is not None:
                states[name] = State(epoch, head, end_nonce)
            if row[0] is not None:
                rows.setdefault(name, []).append(Row(*row))
        return {
            name: page_after(name, cursors[name], state, rows.get(name, [])) for name, state in states.items()
        }

    def newest(self, cursor: DBAPICursor, name: str) -> str | None:
        """The newest entry's id, or None if the stream isn't there."""
        cursor.execute(self._newest, {"stream_id": self._dialect.stream_id(name)})
        for epoch, head, nonce in cursor.fetchall():
            return make_id(epoch, head, nonce or NO_ENTRY)
        return None

    def before_oldest(self, cursor: DBAPICursor, names: Collection[str]) -> dict[str, str]:
        """The place before the oldest entry, of those streams that are there."""
        cursor.execute(self._oldest, self._dialect.among_these(names))
        return {
            self._dialect.name_of(name): make_id(epoch, *_before(head, sequence, nonce))
            for name, epoch, head, sequence, nonce in cursor.fetchall()
        }

    def remembered(self, cursor: DBAPICursor, stream_id: str, key: str, *, latest: bool) -> list[str] | None:
        """The ids of what was stored under this key, or None.

        latest: whether to see what was committed since the transaction began, which takes a lock.
        """
        cursor.execute(
            self._remembered_latest if latest else self._remembered,
            {"key": key, "stream_id": self._dialect.stream_id(stream_id)},
        )
        for epoch, before, count, nonce in cursor.fetchall():
            return [make_id(epoch, before + n, nonce) for n in range(1, count + 1)]
        return None

    def end(self, cursor: DBAPICursor, stream_id: str, epoch: str, nonce: str) -> None:
        """End a stream, unless it has."""
        cursor.execute(
            self._finish, {"stream_id": self._dialect.stream_id(stream_id), "epoch": epoch, "nonce": nonce}
        )

    def all(self, cursor: DBAPICursor) -> Iterator[StreamInfo]:
        """Every stream, by name."""
        cursor.execute(self._all)
        for stream_id, epoch, head, end_nonce, nonce, lowest in cursor.fetchall():
            before, _ = _before(head, lowest, "")
            name = self._dialect.name_of(stream_id)
            yield StreamInfo(
                name, head - before, make_id(epoch, head, nonce or NO_ENTRY), end_nonce is not None
            )

    def meta(self, cursor: DBAPICursor) -> tuple[int, str] | None:
        """The version of the tables, and the epoch of new streams, or None if nobody has set them yet."""
        cursor.execute(self._meta)
        for version, epoch in cursor.fetchall():
            return version, epoch
        return None

    def set_meta(self, cursor: DBAPICursor, version: int, epoch: str) -> None:
        """Set them, unless somebody has."""
        cursor.execute(self._first_meta, {"version": version, "epoch": epoch})


def _before(head: int, lowest: int | None, nonce: str) -> tuple[int, str]:
    """Sequence and nonce of the place before the oldest entry; `lowest` is the lowest row's number.

    A stream's lowest row is that place: its first append has made one, and trimming leaves one.
    """
    return (head, NO_ENTRY) if lowest is None else (lowest, nonce)
