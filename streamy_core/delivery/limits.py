"""Who is being served in this process: the limits, and the slots of threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from .servers.gunicorn import gunicorn_worker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from .wsgi import EventStreamBody

_UNLIMITED: Final = 2**31


class Roster:
    """Counts clients, and knows those that hold a thread. Any thread.

    slots:   the most clients that hold a thread at once; None: half of the server's, once known.
    most:    the most clients in all, and
    per_key: of one key; None: any number.
    """

    def __init__(self, *, slots: int | None, most: int | None, per_key: int | None) -> None:
        self._slots = slots
        self._most = most or _UNLIMITED
        self._per_key = per_key or _UNLIMITED
        self._lock = threading.Lock()
        self._keys: Counter[str] = Counter()
        self._count = 0
        self._bodies: set[EventStreamBody] = set()

    def enter(self, key: str | None) -> bool:
        """Count a client in; False if it would be one too many."""
        with self._lock:
            if self._count >= self._most or (key is not None and self._keys[key] >= self._per_key):
                return False
            self._count += 1
            if key is not None:
                self._keys[key] += 1
            return True

    def leave(self, key: str | None) -> None:
        """Count a client out that was counted in."""
        with self._lock:
            self._count -= 1
            if key is not None:
                self._keys[key] -= 1
                if not self._keys[key]:
                    del self._keys[key]

    def seat(self, body: EventStreamBody) -> bool:
        """Give a client that holds a thread a slot; False if none is free."""
        slots = self._slots
        if slots is None:
            slots = _UNLIMITED if body.threads is None else body.threads // 2
        with self._lock:
            if len(self._bodies) >= slots:
                return False
            self._bodies.add(body)
            return True

    def unseat(self, body: EventStreamBody) -> None:
        """Free its slot, if it has one."""
        with self._lock:
            self._bodies.discard(body)

    def seated(self) -> Iterator[EventStreamBody]:
        """Those that have a slot now."""
        with self._lock:
            return iter(list(self._bodies))

    def __len__(self) -> int:
        return self._count


def threads_of(environ: WSGIEnvironment) -> int | None:
    """How many requests the server can serve at once in this process, if it says; None if any number."""
    worker = gunicorn_worker()
    if worker is not None and "gunicorn.socket" in environ:
        threads_by_kind = {"SyncWorker": 1, "ThreadWorker": int(worker.cfg.threads)}
        return threads_by_kind.get(type(worker).__name__)
    waitress: Any = getattr(environ.get("waitress.client_disconnected"), "__self__", None)
    threads = getattr(getattr(getattr(waitress, "server", None), "adj", None), "threads", None)
    return threads if isinstance(threads, int) else None
