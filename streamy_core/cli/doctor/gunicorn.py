"""How the app is to be served by gunicorn, as far as its own settings say."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from ...errors import ConfigError

_READER: Final = Path(__file__).with_name("gunicorn_reader.py")
_CONFIG: Final = "gunicorn.conf.py"
_ARGUMENTS: Final = "GUNICORN_CMD_ARGS"
_WORKERS: Final = "WEB_CONCURRENCY"
_READING: Final = 30.0
"""Seconds that reading may take: a configuration is a program."""


@dataclass(frozen=True, slots=True)
class Gunicorn:
    """gunicorn's settings, as it has them by default.

    worker_class: "sync", "gthread", "gevent", … or a path. tls: whether its workers speak TLS.
    patched:      whether its configuration calls gevent's `patch_all`.
    complete:     whether more is known than how many workers `WEB_CONCURRENCY` asks for.
    """

    workers: int = 1
    worker_class: str = "sync"
    threads: int = 1
    worker_connections: int = 1_000
    max_requests: int = 0
    max_requests_jitter: int = 0
    timeout: int = 30
    preload: bool = False
    tls: bool = False
    patched: bool = False
    complete: bool = True

    @property
    def green(self) -> str | None:
        """The library whose greenlets its workers serve by, if any."""
        name = self.worker_class.lower()
        return next((library for library in ("gevent", "eventlet") if library in name), None)

    @property
    def requests(self) -> int:
        """How many requests one worker serves at once."""
        return self.worker_connections if self.green else self.threads

    @classmethod
    def of(cls, read: Mapping[str, Any]) -> Self:
        """Of what the reader has found."""
        names = ("workers", "worker_class", "threads", "worker_connections", "max_requests")
        more = ("max_requests_jitter", "timeout", "patched")
        return cls(
            **{name: read[name] for name in (*names, *more)},
            preload=read["preload_app"],
            tls=bool(read["certfile"] or read["keyfile"]),
        )


def read_gunicorn(
    arguments: Sequence[str] | None, folder: Path, environ: Mapping[str, str]
) -> Gunicorn | None:
    """gunicorn's settings as it would read them in this folder; None if nothing there is about gunicorn.

    arguments: of its command line; None: nobody knows. Nothing is served. Raises ConfigError.
    """
    told = arguments is not None or _ARGUMENTS in environ or (folder / _CONFIG).exists()
    if not told and _WORKERS not in environ:
        return None
    if not told:  # others go by it, too
        workers = environ[_WORKERS]
        return Gunicorn(workers=int(workers) if workers.isdecimal() else 1, complete=False)
    if importlib.util.find_spec("gunicorn") is None:
        raise ConfigError("gunicorn isn't installed here, and it alone can read them: pip install gunicorn")
    command = [sys.executable, "-P", str(_READER), *(arguments or ())]
    done = subprocess.run(
        command, cwd=folder, env=dict(environ), capture_output=True, text=True, timeout=_READING, check=False
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ConfigError(
            f"gunicorn refuses its settings: {said[-1] if said else 'without a word'}; ask it itself: "
            "gunicorn --print-config"
        )
    return Gunicorn.of(json.loads(lines[-1]))
