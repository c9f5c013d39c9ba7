"""Does in this process what a command of any process says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from ..commands import EVERYBODY, DisconnectCommand, parse_command
from ..engine.frames import Frame
from ..engine.hub import Hub
from ..engine.reader import Reader
from ..errors import BrokerUnavailable, Closed
from ..events import CONTROL
from ..ids import OLDEST, sequence_of
from ..strategies.retry import RetryPolicy
from ..strategies.trying import Attempts, keep_trying

Apply = Callable[[DisconnectCommand, float], None]
"""Does what the command says, which was given so many seconds ago. Must not block."""

Miss = Callable[[float], None]
"""Told that commands of before this moment, in seconds since 1970, may be missing. As `Apply`."""

_TOLD_WITHIN: Final = 1.0
"""Seconds to wait for the first commands: they are read when the first client, or the first grant, comes."""


class CommandReader:
    """Follows the commands from the newest on, on the hub's thread.

    Beginning takes a thread of its own, since it reads the log: no request waits for it, but those that
    call `wait`. All commands that are kept are applied then, with their age. Where commands may be
    missing, since the log has a gap, everybody is disconnected, and asks again.

    retry: how to go on when the log can't be read. Nothing is given up.
    """

    def __init__(self, hub: Hub, apply: Apply, miss: Miss, retry: RetryPolicy) -> None:
        self._hub = hub
        self._apply = apply
        self._miss = miss
        self._retry = retry
        self._attempts = Attempts(retry, endless=True)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._has_read = threading.Event()
        self._slow = False
        self._reader: Reader | None = None
        threading.Thread(target=self._begin, name="streamy-commands", daemon=True).start()

    def wait(self) -> None:
        """Return when what was commanded before is known. Raises BrokerUnavailable if that takes too long.

        Only until that has happened once: while the backend is away, no further request waits.
        """
        if not self._has_read.wait(0.0 if self._slow else _TOLD_WITHIN):
            self._slow = True
            raise BrokerUnavailable("what was commanded before this process was there can't be read yet")

    def close(self) -> None:
        """Begin no more. What has begun ends with the hub."""
        self._closed.set()

    def _begin(self) -> None:
        try:
            reader = keep_trying(
                self._read_recent,
                self._retry,
                wait=self._closed.wait,
                failed=lambda error, _, delay: self._hub.log.failed(error, delay),
                endless=True,
            )
            self._reader = reader
            self._has_read.set()
            reader.attach(self._follow)
        except (BrokerUnavailable, Closed):
            return  # the process is about to stop
        self._follow()  # something may have come before the hub knew of it

    def _read_recent(self) -> Reader:
        """A reader that has had all commands up to now. Blocks; raises BrokerUnavailable, Closed."""
        reader = Reader.open(self._hub, {CONTROL: OLDEST})
        frames, reader.backlog = reader.backlog, []
        first = next((frame.entry for frame in frames), None)
        if first is not None and (sequence_of(first.id) or 1) > 1:  # those before it are no longer kept
            oldest = parse_command(first.event)
            self._miss(time.time() if oldest is None or oldest.given_at is None else oldest.given_at)
        while frames:
            for frame in frames:
                reader.passed(frame)
                command = parse_command(frame.entry.event)
                if command is not None and command.given_at is not None:
                    self._apply(command, max(0.0, time.time() - command.given_at))
            reader.lagging = [CONTROL]
            frames = reader.read_lagging()
        return reader

    def _follow(self) -> None:
        with self._lock:
            if (reader := self._reader) is None:
                return
            try:
                for frame in self._due(reader):
                    reader.passed(frame)
                    self._do(frame)
            except BrokerUnavailable as error:
                delay = self._attempts.after_failure() or 0.0
                self._hub.log.failed(error, delay)
                self._follow_later(delay)
            else:
                self._attempts.after_success()

    def _due(self, reader: Reader) -> list[Frame]:
        frames = reader.due()
        return reader.read_lagging() if reader.lagging else frames

    def _do(self, frame: Frame) -> None:
        if frame.gap is not None:
            self._miss(time.time())
        command = EVERYBODY if frame.gap is not None else parse_command(frame.entry.event)
        if command is not None:
            self._apply(command, 0.0)

    def _follow_later(self, seconds: float) -> None:
        # The hub's thread must not wait, and may have nothing to wake it again.
        timer = threading.Timer(seconds, self._follow)
        timer.daemon = True
        timer.start()
