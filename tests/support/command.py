"""A command that runs as a process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Final

from streamy_core.testing.reading import eventually

from . import ROOT

TIMEOUT: Final = 60.0
"""Seconds. Long, since it takes in the start of an interpreter on a machine that runs other tests."""


class Command:
    """Standard input is a pipe. What the command writes is kept in files of `cwd`.

    piped: whether standard output is a pipe as well, which the test reads, or doesn't.
    """

    def __init__(self, args: Sequence[str], cwd: Path, *, piped: bool = False) -> None:
        self._stdout, self._stderr = cwd / "stdout", cwd / "stderr"
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self._process = subprocess.Popen(
                args,
                cwd=cwd,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if piped else out,
                stderr=err,
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def lines(self) -> list[str]:
        """The whole lines that the command has written up to now."""
        return self._stdout.read_text("utf-8").split("\n")[:-1]

    @property
    def errors(self) -> str:
        """What it has written to standard error."""
        return self._stderr.read_text("utf-8")

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin
        return self._process.stdin

    @property
    def pipe(self) -> IO[bytes]:
        """The reading end of its standard output."""
        assert self._process.stdout
        return self._process.stdout

    def write(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def wait_for_lines(self, count: int) -> list[str]:
        """Wait until so many lines have been written, and return them all."""

        def are_there() -> bool:
            had_ended = not self.running  # before the look at what it has written
            enough = len(self.lines) >= count
            assert enough or not had_ended, f"exit code {self._process.poll()}: {self.errors}"
            return enough

        eventually(are_there, f"{count} lines", within=TIMEOUT)
        return self.lines

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""
        return self._process.wait(TIMEOUT)

    def close(self) -> None:
        """Kill it, should it still run."""
        with closing(self.stdin):
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
