"""Removes what is kept no longer: in small batches, and without touching the rows that count.

Of each stream, one row more than is kept stays, as the cursor before its oldest entry. Publishers
trim by count what they write to. What is too old is removed at intervals by one process of all:
whoever first moves on the time in `meta`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from streamy_core.errors import StreamyError

from .database import Database
from .faults import Conflict, MissingTable
from .options import Options

_BATCH: Final = 500
_STREAMS_AT_ONCE: Final = 50

_CLAIM: Final = """
    UPDATE {meta} SET tidied_at = :now WHERE id = 1 AND (tidied_at <= :due OR tidied_at > :ahead)"""

_RENEW: Final = "UPDATE {meta} SET tidied_at = :now WHERE id = 1"

_LOWEST: Final = "SELECT MIN(sequence) FROM {entries} WHERE stream_id = :stream_id"

_TRIM: Final = "DELETE FROM {entries} WHERE stream_id = :stream_id AND sequence < :floor"

_YOUNGEST: Final = """
    SELECT s.stream_id, s.head,
           (SELECT o.sequence FROM {entries} o WHERE o.stream_id = s.stream_id AND o.stored_at >= :oldest
            ORDER BY o.sequence LIMIT 1)
    FROM {streams} s WHERE s.stream_id > :after ORDER BY s.stream_id LIMIT :batch"""

_OLD_KEYS: Final = """
    SELECT idempotency_key FROM {keys} WHERE idempotency_key > :after AND stored_at < :oldest
    ORDER BY idempotency_key LIMIT :batch"""

_FORGET: Final = """
    DELETE FROM {keys} WHERE idempotency_key > :after AND idempotency_key <= :last AND stored_at < :oldest"""

logger: Final = logging.getLogger("streamy.sql")


class Retention:
    """Keeps the tables of one database small. Any thread, of one process.

    clock: milliseconds since 1970, injected by tests.
    """

    def __init__(self, database: Database, options: Options, clock: Callable[[], int]) -> None:
        self._database = database
        self._options = options
        self._clock = clock
        self._step = max(1, options.history // 4)
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        render = database.dialect.render
        self._renew = render(_RENEW)
        self._claim, self._lowest, self._trim = render(_CLAIM), render(_LOWEST), render(_TRIM)
        self._youngest = render(_YOUNGEST)
        self._old_keys, self._forget = render(_OLD_KEYS), render(_FORGET)

    def start(self) -> None:
        """Tidy up at intervals from now on, on a thread of its own. Starting twice does nothing."""
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="streamy-retention", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop, and wait for the batch under way."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self._options.timeout)

    def after_append(self, stream_id: str, before: int, head: int) -> None:
        """Trim a stream by count, now and then, after somebody has appended to it. Never raises."""
        if before // self._step == head // self._step:
            return
        try:
            self._trim_below(stream_id, head - self._options.history)
        except (StreamyError, Conflict, MissingTable) as error:
            logger.warning("stream %r could not be trimmed: %s", stream_id, error)

    def tidy(self) -> bool:
        """Remove what is too old or too much, if it is time and nobody else does it.

        Returns whether it was ours to do. Raises BrokerUnavailable.
        """
        if not self._claimed():
            return False
        after = ""
        while not self._stop.is_set() and (streams := self._floors(after)):
            for stream_id, floor in streams:
                self._trim_below(stream_id, floor)
                after = stream_id
            self._renew_claim()
        self._forget_keys()
        return True

    def _run(self) -> None:
        while not self._stop.wait(self._options.tidy_every):
            try:
                self.tidy()
            except Exception as error:  # noqa: BLE001 - the next round may succeed
                logger.warning("old entries could not be removed: %s", error)

    def _claimed(self) -> bool:
        now, every = self._clock(), round(self._options.tidy_every * 1_000)
        # A time that lies ahead comes from a clock that was wrong.
        claim = {"now": now, "due": now - every, "ahead": now + every}
        with self._database.autocommit("claim tidying up") as db:
            db.execute(self._claim, claim)
            return db.rowcount == 1

    def _renew_claim(self) -> None:
        with self._database.autocommit("go on tidying up") as db:
            db.execute(self._renew, {"now": self._clock()})

    def _floors(self, after: str) -> list[tuple[str, int]]:
        """The next streams by name, each with the sequence number below which all may go."""
        dialect, options = self._database.dialect, self._options
        wanted: dict[str, Any] = {
            "after": dialect.stream_id(after),
            "oldest": self._clock() - round(options.history_age * 1_000),
            "batch": _STREAMS_AT_ONCE,
        }
        asked: object = wanted["after"]
        kind = type(asked)
        with self._database.autocommit("find old entries") as db:
            rows = dialect.rows(db, self._youngest, wanted)
        return [
            (dialect.name_of(name), max(head - options.history, head if young is None else young - 1))
            for name, head, young in rows
            if type(head) is int and _is_asked_for(name, kind)
        ]

    def _trim_below(self, stream_id: str, floor: int) -> None:
        stream: dict[str, Any] = {"stream_id": self._database.dialect.stream_id(stream_id)}
        with self._database.autocommit("find old entries") as db:
            db.execute(self._lowest, stream)
            (lowest,) = db.fetchone() or (None,)
        while lowest is not None and lowest < floor and not self._stop.is_set():
            lowest = min(lowest + _BATCH, floor)
            with self._database.autocommit("remove old entries") as db:
                db.execute(self._trim, {**stream, "floor": lowest})

    def _forget_keys(self) -> None:
        # All are gone through: there are no more than a few minutes have brought, and an index by age
        # would cost each publisher more.
        range_ = {"after": "", "oldest": self._clock() - round(self._options.key_age * 1_000)}
        while not self._stop.is_set():
            with self._database.autocommit("forget old keys") as db:
                db.execute(self._old_keys, {**range_, "batch": _BATCH})
                old = [key for (key,) in db.fetchall()]
                if not old:
                    return
                db.execute(self._forget, {**range_, "last": old[-1]})
            range_["after"] = old[-1]


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _is_asked_for(name: Any, kind: type) -> bool:
    """Whether what a table has as a stream's name can be asked for: somebody else may have written it."""
    try:
        return isinstance(name, kind) and (not isinstance(name, str) or bool(name.encode()))
    except UnicodeEncodeError:
        return False
