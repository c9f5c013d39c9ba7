"""gunicorn with several worker processes, and clients of each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from streamy_core.testing.reading import DEADLINE, eventually

from ..crowds.serving import ROOT, Gunicorn
from ..servers.clients import RawClient
from ..servers.servers import _gunicorn_has_a_control_socket

_PACKAGE: Final = __name__.rpartition(".")[0]
_THREADS: Final = 4


class Workers(Gunicorn):
    """gunicorn with two workers. url: the broker's."""

    COUNT: Final = 2

    def __init__(self, log: Path, url: str) -> None:
        self._one_alone = threading.Lock()
        super().__init__(log, STREAMY_BROKER_URL=url)
        eventually(lambda: len(self.pids) == self.COUNT, "all workers")
        # A worker that is stopped before it has begun to listen takes part in nothing.
        for pid in self.pids:
            with self.alone(pid), self._connection() as connection:
                assert self._ask(connection, "GET", "/hello") == pid

    def start(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "--bind", "{}:{}".format(*self.address)]
        command += ["--workers", str(self.COUNT), "--worker-class", "gthread", "--threads", str(_THREADS)]
        command += ["--graceful-timeout", "5", "--timeout", "60", "--keep-alive", "60"]
        if _gunicorn_has_a_control_socket():
            command.append("--no-control-socket")
        unset = {"WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"}
        outer = {name: value for name, value in os.environ.items() if name not in unset}
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, f"{_PACKAGE}.app:create_app()"],
                cwd=ROOT,
                env=outer | self._settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pids(self) -> list[int]:
        """The workers'."""
        master = self.process.pid
        return sorted(map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split()))

    @contextmanager
    def alone(self, pid: int) -> Iterator[None]:
        """The others stand still meanwhile, so that whoever connects is this worker's."""
        with self._one_alone:
            others = [other for other in self.pids if other != pid]
            for other in others:
                os.kill(other, signal.SIGSTOP)
            try:
                eventually(lambda: all(map(_stands_still, others)), "the other workers standing still")
                yield
            finally:
                for other in others:
                    os.kill(other, signal.SIGCONT)

    def connect(
        self, pid: int, *streams: str, key: str | None = None, last_event_id: str | None = None
    ) -> RawClient:
        """A client of this worker that has the head of its response."""
        query = {"ids": ",".join(streams), **({"key": key} if key else {})}
        with self.alone(pid):
            client = RawClient(self.address, f"/stream?{urlencode(query)}", last_event_id=last_event_id)
            client.read_head()
        assert client.header("X-Worker") == [str(pid)]
        return client

    def post(self, pid: int, path: str) -> None:
        """Have this worker do it, while the others go on."""
        with self._connection() as connection:
            with self.alone(pid):
                self._ask(connection, "GET", "/hello")
            # The connection is the worker's now, and is kept.
            assert self._ask(connection, "POST", path) == pid

    @contextmanager
    def _connection(self) -> Iterator[HTTPConnection]:
        connection = HTTPConnection(*self.address, timeout=DEADLINE)
        try:
            yield connection
        finally:
            connection.close()

    @staticmethod
    def _ask(connection: HTTPConnection, method: str, path: str) -> int:
        """Who has answered."""
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, f"{method} {path}: {response.status} {body[:200]!r}"
        return int(response.headers["X-Worker"])


def _stands_still(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
