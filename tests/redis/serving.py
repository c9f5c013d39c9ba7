"""gunicorn with an app that reads from Redis, and what its clients hear."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

from streamy_core.engine.hub import Health

from ..crowds.crowd import Frame, Source
from ..crowds.serving import ROOT, THREADS, Gunicorn
from ..servers.servers import _gunicorn_has_a_control_socket

_APP: Final = f"{__name__.rpartition('.')[0]}.app:create_app()"


class Worker(Gunicorn):
    """One worker of `app.py`. url: the broker's."""

    def __init__(self, log: Path, url: str) -> None:
        super().__init__(log, STREAMY_BROKER_URL=url)

    def start(self) -> None:
        host, port = self.address
        command = [sys.executable, "-m", "gunicorn", "--bind", f"{host}:{port}", "--workers", "1"]
        command += ["--worker-class", "gthread", "--threads", str(THREADS), "--graceful-timeout", "5"]
        if _gunicorn_has_a_control_socket():
            command.append("--no-control-socket")
        unset = {"WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"}
        outer = {name: value for name, value in os.environ.items() if name not in unset}
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, _APP],
                cwd=ROOT,
                env=outer | self._settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def health(self) -> Health:
        return Health(**json.loads(self.ask("GET", "/health")))


class Told(NamedTuple):
    """An event as a client got it."""

    id: str
    name: str
    data: str


class Ears:
    """Keeps what every source of a crowd is told. It is the crowd's `heard`."""

    def __init__(self) -> None:
        self.told: defaultdict[Source, list[Told]] = defaultdict(list)

    def __call__(self, source: Source, frame: Frame, at: float) -> None:
        assert frame.id is not None
        assert frame.data is not None
        self.told[source].append(Told(frame.id, frame.name, frame.data))
