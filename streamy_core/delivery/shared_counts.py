"""How many clients each key has in all processes together, as far as they have told each other.

What they tell: `from`, who it is; `n`, how many clients keys have there now, by the keys' digests; `all`,
that this begins anew, and what was told before is over; `ask`, that all others are to begin anew, too; `bye`,
that it has none.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple

from .recent import digest_of

BEAT: Final = 5.0
"""Seconds after which a process tells that it is there, if it has told nothing else."""

SILENT: Final = 16.0
"""Seconds without a word of a process after which it is forgotten, with its clients."""

MOST_TOLD: Final = 2_000
"""Keys in one message: 50 kB at most."""

MOST_HEARD: Final = 200_000
"""Keys that are kept of others. Of those beyond, only one's own clients count."""

_ANEW: Final = 5.0
"""Seconds between two times that all is told anew."""

_UNKNOWN: Final = -1


class Message(NamedTuple):
    """What is told: as text, the counts in it, and whether it begins anew."""

    text: str
    counts: dict[str, int]
    anew: bool


@dataclass(slots=True)
class _Process:
    heard_at: float
    counts: dict[str, int] = field(default_factory=dict[str, int])


class SharedCounts:
    """See the module. Any thread. Times are given by the caller, in seconds.

    total: how many clients of one key there may be.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._me = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._told: dict[str, int] = {}  # as the others know them; none that are 0
        self._changed: dict[str, int] = {}  # as they are, where that is something else
        self._processes: dict[str, _Process] = {}
        self._others: Counter[str] = Counter()
        self._asks = self._begins_anew = True
        self._told_at = self._began_at = -math.inf

    def is_full(self, key: str, own: int) -> bool:
        """Whether a key that has so many clients here has as many as it may, with those elsewhere."""
        return own >= self._total or own + self.elsewhere(key) >= self._total

    def elsewhere(self, key: str) -> int:
        """How many clients the key has in other processes, as far as they have told."""
        return self._others[digest_of(key)]

    def note(self, key: str, own: int) -> None:
        """A key has so many clients here now."""
        digest = digest_of(key)
        with self._lock:
            if self._told.get(digest, 0) == own:
                self._changed.pop(digest, None)
            else:
                self._changed[digest] = own

    def message(self, now: float) -> Message | None:
        """What is to be told now; None: nothing. `told` has to be given it once it was.

        If it never is, nobody knows what the others know of these keys, and it is told again.
        """
        with self._lock:
            anew = (self._asks or self._begins_anew) and now - self._began_at >= _ANEW
            if anew:
                self._changed = {**self._told, **self._changed}
                self._told = {}
            counts = {digest: self._changed[digest] for digest in islice(self._changed, MOST_TOLD)}
            if not (counts or anew or (self._told and now - self._told_at >= BEAT)):
                return None
            first = all(count == _UNKNOWN for count in self._told.values())
            self._told.update(dict.fromkeys(counts, _UNKNOWN))
            told = {"from": self._me, "n": counts, "all": first, "ask": anew and self._asks}
            return Message(json.dumps(told, separators=(",", ":")), counts, anew)

    def told(self, message: Message, now: float) -> None:
        """The others have been told this."""
        with self._lock:
            self._told_at = now
            if message.anew:
                self._asks = self._begins_anew = False
                self._began_at = now
            for digest, count in message.counts.items():
                if count:
                    self._told[digest] = count
                else:
                    del self._told[digest]
                if self._changed[digest] == count:
                    del self._changed[digest]

    def farewell(self) -> str:
        """What a process tells that is about to stop."""
        return json.dumps({"from": self._me, "bye": True})

    def hear(self, message: str, now: float) -> None:
        """Take what a process has told. What is no message of ours is nothing."""
        try:
            given: Any = json.loads(message)
            whose, counts = str(given["from"]), dict(given.get("n") or {})
            clients = {str(digest): int(count) for digest, count in counts.items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        if whose == self._me:
            return
        with self._lock:
            known = whose in self._processes
            if given.get("bye") or given.get("all"):
                self._forget(whose)
            elif not known:
                self._asks = True  # it has told more before, which wasn't heard
            if given.get("ask"):
                self._begins_anew = True
            if not given.get("bye"):
                self._take(self._processes.setdefault(whose, _Process(now)), clients, now)

    def missed(self) -> None:
        """Something was told that can't be heard any more: have all tell all."""
        self._asks = True

    def forget_silent(self, now: float) -> None:
        """Forget the processes of which nothing was heard for a while."""
        with self._lock:
            for whose in [name for name, one in self._processes.items() if now - one.heard_at > SILENT]:
                self._forget(whose)

    def __len__(self) -> int:
        """How many keys it knows of."""
        return len(self._told) + len(self._changed) + len(self._others)

    def _take(self, process: _Process, clients: dict[str, int], now: float) -> None:
        process.heard_at = now
        for digest, count in clients.items():
            before = process.counts.pop(digest, 0)
            room = before or len(self._others) < MOST_HEARD
            if count > 0 and room:
                process.counts[digest] = count
            self._add(digest, (count if count > 0 and room else 0) - before)

    def _forget(self, whose: str) -> None:
        gone = self._processes.pop(whose, None)
        for digest, count in gone.counts.items() if gone is not None else ():
            self._add(digest, -count)

    def _add(self, digest: str, more: int) -> None:
        self._others[digest] += more
        if self._others[digest] <= 0:
            del self._others[digest]
