"""When clients were last disconnected by their key or stream: what was granted before is void."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from ..commands import EVERYBODY, DisconnectCommand

_MOST: Final = 100_000


class Revocations:
    """See the module. Any thread. It knows of the newest 100,000.

    Moments are in seconds since 1970.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known_since = 0.0
        self._at: OrderedDict[tuple[str | None, str | None], float] = OrderedDict()

    def add(self, command: DisconnectCommand) -> None:
        """A command was given. One that means everybody has them come back, and takes nothing away."""
        if command == EVERYBODY:
            return
        whom = (command.stream_id, command.key)
        now = time.time()
        at = now if command.given_at is None else min(command.given_at, now)  # another clock may be ahead
        with self._lock:
            self._at[whom] = max(at, self._at.pop(whom, at))
            if len(self._at) > _MOST:
                self._at.popitem(last=False)

    def forget_before(self, moment: float) -> None:
        """Commands of before this may be missing: what was granted before it isn't valid, either."""
        self._known_since = max(self._known_since, min(moment, time.time()))

    def concern(self, streams: Collection[str], key: str | None, granted_at: float) -> bool:
        """Whether what was granted then has been revoked since."""
        if granted_at < self._known_since:
            return True
        if not self._at:
            return False
        whose = [(None, key)] if key is not None else []
        those = [(stream, each) for stream in streams for each in {None, key}]
        with self._lock:
            return any(self._at.get(whom, granted_at - 1) >= granted_at for whom in (*whose, *those))
