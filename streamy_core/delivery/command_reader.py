"""Does in this process what a command of any process says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

from ..commands import DisconnectCommand, parse_command
from ..engine.hub import Hub
from ..engine.reader import Reader
from ..errors import BrokerUnavailable
from ..events import CONTROL
from ..strategies.retry import RetryPolicy
from ..strategies.trying import Attempts

Apply = Callable[[DisconnectCommand], None]
"""Does what the command says. Must not block."""


class CommandReader:
    """Follows the commands that are given from now on, on the hub's thread. Made by `open`.

    retry: how to go on when the log can't be read. Nothing is given up.
    """

    def __init__(self, reader: Reader, apply: Apply, retry: RetryPolicy) -> None:
        self._apply = apply
        self._attempts = Attempts(retry, endless=True)
        self._lock = threading.Lock()
        self._reader = reader

    @classmethod
    def open(cls, hub: Hub, apply: Apply, retry: RetryPolicy) -> Self:
        """One that has begun to follow. Blocks; raises BrokerUnavailable, Closed."""
        commands = cls(Reader.open(hub, {CONTROL: None}), apply, retry)
        commands._reader.attach(commands._follow)
        return commands

    def _follow(self) -> None:
        with self._lock:
            try:
                self._apply_commands()
            except BrokerUnavailable as error:
                delay = self._attempts.after_failure() or 0.0
                self._reader.hub.log.failed(error, delay)
                self._follow_later(delay)
            else:
                self._attempts.after_success()

    def _apply_commands(self) -> None:
        frames = self._reader.due()
        if self._reader.lagging:
            frames = self._reader.read_lagging()
        for frame in frames:
            self._reader.passed(frame)
            if (command := parse_command(frame.entry.event)) is not None:
                self._apply(command)

    def _follow_later(self, seconds: float) -> None:
        # The hub's thread must not wait, and may have nothing to wake it again.
        timer = threading.Timer(seconds, self._follow)
        timer.daemon = True
        timer.start()
