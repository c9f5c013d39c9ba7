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
from streamy_core.events import CONTROL

from .batches import Stored
from .database import Database
from .faults import Conflict, MissingTable
from .options import Options

_BATCH: Final = 500
_STREAMS_AT_ONCE: Final = 50
_PAUSE: Final = 0.01
"""Seconds between two batches, in which others have their turn."""

_CLAIM: Final = """
    UPDATE {meta} SET tidied_at = :now WHERE id = 1 AND (tidied_at <= :due OR tidied_at > :ahead)"""

_RENEW: Final = "UPDATE {meta} SET tidied_at = :now WHERE id = 1"

DEFAULT_HISTORY: Final = 1_000
DEFAULT_AGE: Final = 86_400_000
"""What is kept where nobody has said anything; milliseconds."""

_DECLARE: Final = """
    UPDATE {meta} SET history = {greatest}(history, :history), history_age = {greatest}(history_age, :age)
    WHERE id = 1 AND (history < :history OR history_age < :age)"""

_DECLARE_ANEW: Final = "UPDATE {meta} SET history = :history, history_age = :age WHERE id = 1"

_UNDECLARE: Final = "UPDATE {streams} SET history = 0, history_age = 0 WHERE history > 0 OR history_age > 0"

_IDLE: Final = """
    SELECT stream_id, head, changed FROM {streams}
    WHERE changed >= :after AND (changed > :after OR stream_id > :name)
        AND changed < {now} - :idle AND (:ended = 0 OR end_nonce IS NOT NULL) AND stream_id <> :kept
    ORDER BY changed, stream_id LIMIT :batch"""
"""Many may have changed in the same moment: by one transaction."""

_FORGET_STREAM: Final = "DELETE FROM {streams} WHERE stream_id = :stream_id AND changed = :changed"

_DECLARED: Final = "SELECT history, history_age FROM {meta} WHERE id = 1"

_KEPT: Final = """
    SELECT s.head, s.history, m.history FROM {streams} s, {meta} m
    WHERE s.stream_id = :stream_id AND m.id = 1"""

_LOWEST: Final = "SELECT MIN(sequence) FROM {entries} WHERE stream_id = :stream_id"

_TRIM: Final = "DELETE FROM {entries} WHERE stream_id = :stream_id AND sequence < :floor"

_YOUNGEST: Final = """
    SELECT s.stream_id, s.head, s.history,
           (SELECT MIN(o.sequence) FROM {entries} o WHERE o.stream_id = s.stream_id),
           (SELECT o.sequence FROM {entries} o WHERE o.stream_id = s.stream_id
            AND o.stored_at >= :now - CASE WHEN s.history_age > 0 THEN s.history_age ELSE :age END
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
        self._step = max(1, (options.history or DEFAULT_HISTORY) // 4)
        self._told = False
        self._claim_until = 0
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        render = database.dialect.render
        self._renew = render(_RENEW)
        self._claim, self._lowest, self._trim = render(_CLAIM), render(_LOWEST), render(_TRIM)
        self._kept, self._declare, self._declared = render(_KEPT), render(_DECLARE), render(_DECLARED)
        self._declare_anew, self._undeclare = render(_DECLARE_ANEW), render(_UNDECLARE)
        self._idle, self._forget_stream = render(_IDLE), render(_FORGET_STREAM)
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

    def after_append(self, stream_id: str, stored: Stored, count: int) -> None:
        """Trim a stream by count, now and then, after somebody has appended to it. Never raises."""
        if stored.history:
            self._compare(f"stream {stream_id!r} keeps", stored.history)
        if stored.before // self._step == (stored.before + count) // self._step:
            return
        try:
            self._trim_to_history(stream_id)
        except (StreamyError, Conflict, MissingTable) as error:
            logger.warning("stream %r could not be trimmed: %s", stream_id, error)

    def declare(self, *, anew: bool = False) -> None:
        """Store what this process says of what is kept, for streams that don't say. Raises BrokerUnavailable.

        anew: whether what was said before, of any stream, doesn't count any more.
        """
        history, age = self._options.declared
        if anew:
            with self._database.autocommit("say what is kept") as db:
                db.execute(self._declare_anew, {"history": history, "age": age})
                db.execute(self._undeclare)
        elif history or age:
            with self._database.autocommit("say what is kept") as db:
                db.execute(self._declare, {"history": history, "age": age})
            self._compare("streams keep", self._declared_by_any()[0])

    def _compare(self, who: str, history: int) -> None:
        said = self._options.history or 0
        if not 0 < said < history or self._told:
            return
        self._told = True
        logger.warning(
            "%s %d entries, as another process has said, and not the %d that this one says: `flask streamy "
            "init-db` has them keep what the app says",
            who,
            history,
            said,
        )

    def _declared_by_any(self) -> tuple[int, int]:
        with self._database.autocommit("find what is kept") as db:
            db.execute(self._declared)
            history, age = db.fetchone() or (0, 0)
        own_history, own_age = self._options.declared
        return history or own_history or DEFAULT_HISTORY, age or own_age or DEFAULT_AGE

    def tidy(self) -> bool:
        """Remove what is too old or too much, if it is time and nobody else does it.

        Returns whether it was ours to do. Raises BrokerUnavailable.
        """
        if not self._claimed():
            return False
        after = ""
        history, age = self._declared_by_any()
        while not self._stop.wait(_PAUSE) and (streams := self._floors(after, history, age)):
            for after, lowest, floor in streams:
                self._trim_from(after, lowest, floor)
            self._renew_claim()
        self._forget_keys()
        if self._options.forget_after is not None:
            self.forget(self._options.forget_after)
        return True

    def forget(self, idle_for: float, *, ended: bool = False) -> int:
        """Forget the streams that have not been written to for so many seconds; how many there were.

        ended: only those that have ended. Raises BrokerUnavailable.
        """
        dialect, count = self._database.dialect, 0
        after: int = -1
        name: Any = dialect.stream_id("")
        # Its readers would take the gap for commands that they have missed, and disconnect everybody.
        kept = dialect.stream_id(CONTROL)
        while not self._stop.is_set():
            with self._database.autocommit("find old streams") as db:
                idle = {"idle": round(idle_for * 1_000_000), "ended": int(ended), "kept": kept}
                page = {"after": after, "name": name, "batch": _STREAMS_AT_ONCE}
                old = dialect.rows(db, self._idle, {**idle, **page})
            for name, head, after in old:
                self._trim_below(dialect.name_of(name), head + 1)
                with self._database.autocommit("forget a stream") as db:
                    db.execute(self._forget_stream, {"stream_id": name, "changed": after})
                    count += db.rowcount
            if len(old) < _STREAMS_AT_ONCE:
                break
            self._renew_claim()
        return count

    def _run(self) -> None:
        while not self._stop.wait(self._options.tidy_every):
            try:
                self.tidy()
            except Exception as error:  # noqa: BLE001 - the next round may succeed
                logger.warning("old entries could not be removed: %s", error)

    def _claimed(self) -> bool:
        now, every = self._clock(), round(self._options.tidy_every * 1_000)
        self._claim_until = now + every // 2
        # A time that lies ahead comes from a clock that was wrong.
        claim = {"now": now, "due": now - every, "ahead": now + every}
        with self._database.autocommit("claim tidying up") as db:
            db.execute(self._claim, claim)
            return db.rowcount == 1

    def _renew_claim(self) -> None:
        """Have nobody else begin, now that half of the time is over in which nobody does."""
        if self._clock() < self._claim_until:
            return
        self._claim_until = self._clock() + round(self._options.tidy_every * 500)
        with self._database.autocommit("go on tidying up") as db:
            db.execute(self._renew, {"now": self._clock()})

    def _floors(self, after: str, history: int, age: int) -> list[tuple[str, int | None, int]]:
        """The next streams by name, each with its lowest sequence number, and that below which all may go."""
        dialect = self._database.dialect
        wanted: dict[str, Any] = {
            "after": dialect.stream_id(after),
            "now": self._clock(),
            "age": age,
            "batch": _STREAMS_AT_ONCE,
        }
        asked: object = wanted["after"]
        kind = type(asked)
        with self._database.autocommit("find old entries") as db:
            rows = dialect.rows(db, self._youngest, wanted)
        return [
            (
                dialect.name_of(name),
                lowest,
                max(head - (own or history), head if young is None else young - 1),
            )
            for name, head, own, lowest, young in rows
            if type(head) is int and type(own) is int and _is_asked_for(name, kind)
        ]

    def _trim_to_history(self, stream_id: str) -> None:
        with self._database.autocommit("find what is kept") as db:
            db.execute(self._kept, {"stream_id": self._database.dialect.stream_id(stream_id)})
            head, history, otherwise = db.fetchone() or (0, 0, 0)
        kept = history or otherwise or self._options.history or DEFAULT_HISTORY
        self._trim_below(stream_id, head - kept)

    def _trim_below(self, stream_id: str, floor: int) -> None:
        stream: dict[str, Any] = {"stream_id": self._database.dialect.stream_id(stream_id)}
        with self._database.autocommit("find old entries") as db:
            db.execute(self._lowest, stream)
            (lowest,) = db.fetchone() or (None,)
        self._trim_from(stream_id, lowest, floor)

    def _trim_from(self, stream_id: str, lowest: int | None, floor: int) -> None:
        stream: dict[str, Any] = {"stream_id": self._database.dialect.stream_id(stream_id)}
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
