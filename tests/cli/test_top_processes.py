"""`flask streamy top` as a process: on a terminal, and with the workers of a real server."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_core import Event, StreamManager
from streamy_core.events import SUMMARIES
from streamy_core.overview import Overview, Summary, Wrong
from streamy_core.testing.reading import eventually

from ..support import ROOT
from ..support.command import TIMEOUT
from ..support.workers import Workers
from .command import flask_streamy

pytestmark = pytest.mark.slow

APP: Final = """\
import logging
import threading
import time

from flask import Flask

from streamy_core import StreamManager

app = Flask("shop")
app.config.from_prefixed_env()
sse = StreamManager(app)


def chat():
    while True:
        logging.warning("a line of the log")
        time.sleep(0.1)


threading.Thread(target=chat, daemon=True).start()
"""
"""An app that logs, to the terminal."""

OTHER_SCREEN: Final = ("\x1b[?1049h", "\x1b[?1049l")
CURSOR: Final = ("\x1b[?25l", "\x1b[?25h")
COLOURS: Final = re.compile(r"\x1b\[[\d;]*3[0-7][\d;]*m")


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """The environment of the command, whose app shares a file."""
    (tmp_path / "shop.py").write_text(APP)
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "FLASK_STREAMY_BROKER_URL": f"sqlite:///{tmp_path}/streams.db",
        "FLASK_STREAMY_OVERVIEW": "loopback",
        "TERM": "xterm-256color",
    }


class Terminal:
    """A command on a terminal of 80 columns and 24 lines, and what it has written there."""

    def __init__(self, args: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.pid, self._end = pty.fork()
        if not self.pid:
            os.chdir(folder)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # an ignored one would be inherited
            os.execvpe(args[0], args, environment)
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.set_blocking(self._end, False)
        self._written = b""
        self._status: int | None = None

    @property
    def written(self) -> str:
        with suppress(OSError):  # nothing is there, or it has ended
            while chunk := os.read(self._end, 65_536):
                self._written += chunk
        return self._written.decode(errors="replace")

    def shows(self, text: str) -> None:
        """Wait until it has."""
        eventually(lambda: text in self.written, text, within=TIMEOUT)

    def type(self, keys: bytes) -> None:
        os.write(self._end, keys)

    def wait(self) -> int:
        """Wait for the end, and return the exit code."""

        def over() -> bool:
            _ = self.written  # else it would wait for who reads
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = status if pid else None
            return bool(pid)

        eventually(over, "it has ended", within=TIMEOUT)
        assert self._status is not None
        return os.waitstatus_to_exitcode(self._status)

    def close(self) -> None:
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._end)


@pytest.fixture
def terminal(tmp_path: Path, variables: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Runs `flask streamy top` on a terminal: terminal(NO_COLOR="1")."""
    with ExitStack() as to_close:

        def run(**more: str) -> Terminal:
            begun = Terminal(flask_streamy("top"), tmp_path, variables | more)
            to_close.callback(begun.close)
            return begun

        yield run


@pytest.fixture
def tell(variables: dict[str, str]) -> Iterator[Callable[..., object]]:
    """Tells as a process of the app does."""
    with StreamManager(broker=variables["FLASK_STREAMY_BROKER_URL"]) as sse:

        def tell(pid: int, **told: Any) -> None:
            now = time.time()
            summary = Summary(process=str(pid), host="web", pid=pid, at=now, since=now, every=5.0, **told)
            sse.broker.append(SUMMARIES, [Event(summary.as_text())])

        yield tell


def test_the_screen_follows_what_is_told_and_ctrl_c_leaves_the_terminal_as_it_was(
    terminal: Callable[..., Terminal], tell: Callable[..., object]
) -> None:
    tell(7, clients={"detached": 11})
    screen = terminal()
    screen.shows("1 process, 11 clients")
    tell(8, clients={"detached": 22})
    screen.shows("2 processes, 33 clients")
    assert COLOURS.search(screen.written) is None, "nothing is wrong: nothing is red"
    screen.type(b"\x03")
    assert screen.wait() == 130
    for begin, end in (OTHER_SCREEN, CURSOR):
        assert screen.written.rindex(end) > screen.written.rindex(begin)
    drawn = screen.written.partition(OTHER_SCREEN[0])[2].partition(OTHER_SCREEN[1])[0]
    assert "a line of the log" not in drawn
    assert "Traceback" not in screen.written


@pytest.mark.parametrize(("more", "colours"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["", "NO_COLOR"])
def test_what_is_wrong_is_red_where_colours_are_wanted_and_sigterm_leaves_the_terminal_as_it_was(
    terminal: Callable[..., Terminal], tell: Callable[..., object], more: dict[str, str], colours: bool
) -> None:
    tell(7, wrong=(Wrong("bell", 3.0),))
    screen = terminal(**more)
    screen.shows("NOT READY: 7 web: bell for 3s")
    assert bool(COLOURS.search(screen.written)) is colours
    os.kill(screen.pid, signal.SIGTERM)
    assert screen.wait() == 128 + signal.SIGTERM
    assert screen.written.rindex(OTHER_SCREEN[1]) > screen.written.rindex(OTHER_SCREEN[0])


def test_a_terminal_whose_screen_can_not_be_drawn_anew_is_given_one_picture(
    terminal: Callable[..., Terminal], tell: Callable[..., object]
) -> None:
    tell(7, clients={"detached": 11})
    screen = terminal(TERM="dumb")
    assert screen.wait() == 0
    assert "1 process, 11 clients" in screen.written


def test_a_picture_that_can_not_be_written_is_an_error_in_one_line(
    tmp_path: Path, variables: dict[str, str], tell: Callable[..., object]
) -> None:
    tell(7, clients={"detached": 11})
    command = [*flask_streamy("top"), "--once"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, cwd=tmp_path, env=variables, stdout=full, stderr=subprocess.PIPE, timeout=TIMEOUT
        )
    errors = [line for line in done.stderr.decode().splitlines() if "a line of the log" not in line]
    assert (done.returncode, errors) == (
        1,
        ["Error: standard output can't be written to: No space left on device"],
    )


def test_both_workers_of_a_server_are_there_and_one_that_is_killed_goes(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    url = variables["FLASK_STREAMY_BROKER_URL"]
    with (
        Workers(tmp_path / "log", url, {"STREAMY_OVERVIEW": "loopback"}).start() as server,
        StreamManager(broker=url) as sse,
    ):
        overview = Overview(sse.binding.engine)

        def clients() -> dict[int, int]:
            overview.refresh()
            return {each.summary.pid: each.summary.all_clients for each in overview.processes()}

        one, other = server.pids
        client = server.client_of(one, "news")
        client.read_opening()
        eventually(lambda: clients() == {one: 1, other: 0}, "both have told that", within=TIMEOUT)
        command = [*flask_streamy("top"), "--once", "--json"]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, timeout=TIMEOUT)
        told = {each["pid"]: each for each in json.loads(done.stdout)["processes"]}
        assert (done.returncode, told.keys()) == (0, {one, other})
        assert told[one]["versions"]["server"].startswith("gunicorn")
        os.kill(one, signal.SIGKILL)
        eventually(lambda: one not in clients(), "the one that was killed has gone", within=TIMEOUT)
        assert other in clients()
        client.close()
