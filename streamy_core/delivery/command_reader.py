"""Does in this process what a command of any process says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ..commands import EVERYBODY, DisconnectCommand, parse_command
from ..engine.follower import Follower
from ..engine.frames import Frame
from ..engine.hub import Hub
from ..errors import BrokerUnavailable
from ..events import CONTROL
from ..ids import sequence_of
from ..strategies.retry import RetryPolicy

Apply = Callable[[DisconnectCommand, float], None]
"""Does what the command says, which was given so many seconds ago. Must not block."""

Miss = Callable[[float], None]
"""Told that commands of before this moment, in seconds since 1970, may be missing. As `Apply`."""

_TOLD_WITHIN: Final = 1.0
"""Seconds to wait for the first commands: they are read when the first client, or the first grant, comes."""


class CommandReader:
    """Follows the commands: see `Follower`.

    No request waits for it, but those that call `wait`. All commands that are kept are applied at first,
    with their age. Where commands may be missing, since the log has a gap, everybody is disconnected, and
    asks again.

    retry: how to go on when the log can't be read. Nothing is given up.
    """

    def __init__(self, hub: Hub, apply: Apply, miss: Miss, retry: RetryPolicy) -> None:
        self._apply = apply
        self._miss = miss
        self._slow = False
        self._is_first = True
        self._follower = Follower(hub, CONTROL, self._take, retry, name="streamy-commands")

    def wait(self) -> None:
        """Return when what was commanded before is known. Raises BrokerUnavailable if that takes too long.

        Only until that has happened once: while the backend is away, no further request waits.
        """
        if not self._follower.wait(0.0 if self._slow else _TOLD_WITHIN):
            self._slow = True
            raise BrokerUnavailable("what was commanded before this process was there can't be read yet")

    def close(self) -> None:
        """Begin no more. What has begun ends with the hub."""
        self._follower.close()

    def _take(self, frame: Frame, live: bool) -> None:
        command = parse_command(frame.entry.event)
        if live:
            self._do(frame, command)
            return
        if self._is_first and (sequence_of(frame.entry.id) or 1) > 1:  # those before it are no longer kept
            given_at = None if command is None else command.given_at
            self._miss(time.time() if given_at is None else given_at)
        self._is_first = False
        if command is not None and command.given_at is not None:
            self._apply(command, max(0.0, time.time() - command.given_at))

    def _do(self, frame: Frame, command: DisconnectCommand | None) -> None:
        if frame.gap is not None:
            self._miss(time.time())
            command = EVERYBODY
        if command is not None:
            self._apply(command, 0.0)
