"""A real gunicorn for tests: how it is set up, and one that serves an app of the test's own process."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from flask import Flask

from ..closeable import Closeable
from ..errors import ConfigError
from ..manager import EXTENSION
from .connection import by_http
from .event_source import EventStream
from .reading import DEADLINE, eventually

_STARTING: Final = 30.0
"""Seconds that it may take to listen: a machine that runs other tests starts it slowly."""
_STOPPING: Final = 3.0
"""Seconds that it has to end by itself."""
_LISTENING: Final = re.compile(r"(?:Listening at|Running on):? https?://[\d.]+:(\d+)")


def gunicorn_settings(worker_class: str = "gthread", *, workers: int = 1, threads: int = 4) -> dict[str, Any]:
    """gunicorn's settings, by their names, for a server that lives as long as a test.

    It chooses a free port, which its log tells: `listening_port`. A worker that a busy machine lets wait
    isn't killed, and servers that run at once don't share a control socket. Raises ConfigError where there
    is no gunicorn.
    """
    try:
        from gunicorn.config import KNOWN_SETTINGS  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError("a test of an app under gunicorn needs it: pip install gunicorn") from error
    settings = {
        "bind": "127.0.0.1:0",
        "workers": workers,
        "worker_class": worker_class,
        "timeout": 60,
        "control_socket_disable": True,
    }
    if worker_class == "gthread":
        settings["threads"] = threads
    known = {setting.name for setting in KNOWN_SETTINGS}
    return {name: value for name, value in settings.items() if name in known}


def listening_port(log: str) -> int | None:
    """The port that gunicorn's log, or Werkzeug's, says it listens at; None: it doesn't say so yet."""
    found = _LISTENING.search(log)
    return None if found is None else int(found[1])


class GunicornServer(Closeable):
    """An app under gunicorn with a `gthread` worker, at `url`. For one thread.

    It is forked from this process, as gunicorn forks its workers with `preload_app`: the app is this very
    object, as it is now, and what it has in memory is its own from then on. A broker in memory is, too.

    log: the file that it writes to. threads: how many requests it serves at once.

    Raises ConfigError without gunicorn; AssertionError, with its log, if it doesn't start.
    """

    def __init__(self, app: Flask, log: Path, *, threads: int = 4) -> None:
        settings = gunicorn_settings(threads=threads)
        self._path = log
        self._open: list[EventStream] = []
        self._status: int | None = None
        with warnings.catch_warnings():
            # Python warns of forks beside threads, which may hold locks: gunicorn's child takes none of ours.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            _serve(app, log, settings)
        try:
            eventually(self._listens, "gunicorn listens", within=_STARTING)
        except BaseException as error:
            self.close()
            error.add_note(f"its log:\n{self.log[-5_000:]}")
            raise
        self.port: int = listening_port(self.log) or 0

    @property
    def url(self) -> str:
        """Where it serves, without a slash in the end: `http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has written: what the app logs, too."""
        return self._path.read_text("utf-8", "replace") if self._path.exists() else ""

    def open(
        self, path: str, *, last_event_id: str | None = None, headers: dict[str, str] | None = None
    ) -> EventStream:
        """Connect to this path by HTTP: as `EventClient.open`."""
        sent = dict(headers or {})
        if last_event_id is not None:
            sent["Last-Event-ID"] = last_event_id
        stream = EventStream(path, by_http("127.0.0.1", self.port, path), sent)
        self._open.append(stream)
        return stream

    def close(self) -> None:
        """Leave all its streams, have it end (SIGTERM), and see that all its processes have.

        Closing twice does nothing.
        """
        for stream in self._open:
            stream.close()
        if self._ended():
            return
        os.kill(self._pid, signal.SIGTERM)
        end = time.monotonic() + _STOPPING
        while not self._ended() and time.monotonic() < end:
            time.sleep(0.01)
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        eventually(self._ended, "gunicorn ends", within=DEADLINE)

    def __str__(self) -> str:
        return self.url

    def _listens(self) -> bool:
        assert not self._ended(), f"gunicorn ended with {self._status}"
        return listening_port(self.log) is not None

    def _ended(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None


def _serve(app: Flask, log: Path, settings: dict[str, Any]) -> NoReturn:
    """What the forked process does, and all that it does: it never returns into pytest."""
    status = 1
    try:
        os.setsid()
        _write_to(log)
        _gunicorn_of(app, {**settings, "worker_exit": _close_managers(app)}).run()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it is, the log has it
        traceback.print_exc()
    finally:
        os._exit(status)


def _write_to(log: Path) -> None:
    """Have all that is written go there, and nothing into pytest's hands."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = sys.stderr = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")
    logging.basicConfig(force=True, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def _gunicorn_of(app: Flask, settings: dict[str, Any]) -> Any:
    """gunicorn's own way to be built into a program: it heeds no file and no variable of its own."""
    from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

    class Served(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in settings.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return app

    return Served()


def _close_managers(app: Flask) -> Callable[..., None]:
    """What the interpreter's exit would do for them: this process ends without one."""

    def close(_server: object, _worker: object) -> None:
        for manager in app.extensions.get(EXTENSION, {}).values():
            manager.close()

    return close
