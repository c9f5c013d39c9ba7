"""The commands of the last minute: for clients that were on their way in when one arrived."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from ..commands import DisconnectCommand
from .session import Session

_KEPT: Final = 60.0
_MOST: Final = 10_000


class Journal:
    """See the module. Any thread.

    A client's right is looked at when its request begins, and it is connected later. A command that
    arrives in between has to be looked up here once the client can be found by those that follow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._commands: deque[tuple[float, DisconnectCommand]] = deque()
        self._complete_since = -float("inf")

    def add(self, command: DisconnectCommand, age: float = 0.0) -> float:
        """Note a command that was given so many seconds ago. Returns when that was, by the clock."""
        now = self._clock()
        at = now - age
        with self._lock:
            self._commands.append((at, command))
            while self._commands[0][0] < now - _KEPT or len(self._commands) > _MOST:
                self._complete_since = max(self._complete_since, self._commands.popleft()[0])
                if not self._commands:
                    break
        return at

    def concerns(self, session: Session) -> bool:
        """Whether a command that has arrived since this client's request began means it.

        One whose request began longer ago than commands are kept has to ask again.
        """
        since = session.requested_at
        if not self._commands and since > self._complete_since:
            return False
        with self._lock:
            if since <= self._complete_since:
                return True
            return any(at >= since and command.means(session) for at, command in self._commands)
