"""How many clients one process serves at once."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Final

UNLIMITED: Final = 2**31


class Limits:
    """Counts clients. Any thread.

    most:    the most clients in all, and
    per_key: of one key; None: any number.
    """

    def __init__(self, *, most: int | None, per_key: int | None) -> None:
        self._most = most or UNLIMITED
        self._per_key = per_key or UNLIMITED
        self._lock = threading.Lock()
        self._keys: Counter[str] = Counter()
        self._count = 0

    def acquire(self, key: str | None) -> bool:
        """Count a client of this key; False if it would be one too many."""
        with self._lock:
            if self._count >= self._most or (key is not None and self._keys[key] >= self._per_key):
                return False
            self._count += 1
            if key is not None:
                self._keys[key] += 1
            return True

    def release(self, key: str | None) -> None:
        """A client that was counted is gone."""
        with self._lock:
            self._count -= 1
            if key is not None:
                self._keys[key] -= 1
                if not self._keys[key]:
                    del self._keys[key]

    def __len__(self) -> int:
        return self._count
