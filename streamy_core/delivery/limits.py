"""How many clients one process serves at once, and how many more are given what they missed."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Final

from .shared_counts import SharedCounts

UNLIMITED: Final = 2**31

VISITORS: Final = 64


class Limits:
    """Counts clients. Any thread.

    most:    the most clients in all, and
    per_key: of one key; None: any number.
    shared:  knows how many of one key there may be in all processes; None: any number.

    leaving: how many there were when many were told to leave at once, as has been noted.
    """

    def __init__(self, *, most: int | None, per_key: int | None, shared: SharedCounts | None = None) -> None:
        self._shared = shared
        self._most = most or UNLIMITED
        self._per_key = per_key or UNLIMITED
        self._lock = threading.Lock()
        self._keys: Counter[str] = Counter()
        self._count = 0
        self._visitors = 0
        self.leaving: int = 0

    def note_leaving(self, key: str | None = None) -> None:
        """Those who are counted now, or those of this key, are told to leave, and will come back."""
        self.leaving = self._count if key is None else self._keys[key]

    def note_so_many_leaving(self, count: int) -> None:
        """The same of so many."""
        self.leaving = count

    def lower_to(self, most: int) -> None:
        """Allow so many in all, or as many as before if that is less."""
        self._most = min(self._most, most)

    def acquire(self, key: str | None) -> bool:
        """Count a client of this key; False if it would be one too many."""
        with self._lock:
            if self._count >= self._most:
                return False
            if key is not None:
                if self._keys[key] >= self._per_key or self.is_full(key):
                    return False
                self._keys[key] += 1
                self._note(key)
            self._count += 1
            return True

    def is_full(self, key: str) -> bool:
        """Whether this key has as many clients as it may in all processes together, as far as is known."""
        return self._shared is not None and self._shared.is_full(key, self._keys[key])

    def release(self, key: str | None) -> None:
        """A client that was counted is gone."""
        with self._lock:
            self._count -= 1
            if key is not None:
                self._keys[key] -= 1
                self._note(key)
                if not self._keys[key]:
                    del self._keys[key]

    def acquire_visit(self, most: int = VISITORS) -> bool:
        """Count a client that may not stay, but is to be given what it missed; False: not even that.

        most: how many of them there may be at once.
        """
        with self._lock:
            if self._visitors >= most:
                return False
            self._visitors += 1
            return True

    def release_visit(self) -> None:
        """One of those is gone."""
        with self._lock:
            self._visitors -= 1

    def _note(self, key: str) -> None:
        if self._shared is not None:
            self._shared.note(key, self._keys[key])

    def __len__(self) -> int:
        return self._count
