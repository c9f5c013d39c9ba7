"""gunicorn with several worker processes, and clients of each."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import psutil

from streamy_core.testing.reading import eventually

from .app_server import AppServer
from .process import suspend
from .raw_client import RawClient


class Workers(AppServer):
    """gunicorn with two workers.

    url: the broker's. settings: of the app, by the names of its keys.
    """

    COUNT: Final = 2

    def __init__(self, log: Path, url: str, settings: Mapping[str, object] | None = None) -> None:
        self._one_alone = threading.Lock()
        super().__init__(
            log,
            workers=self.COUNT,
            options=("--graceful-timeout", "5", "--keep-alive", "60"),
            settings={"STREAMY_BROKER_URL": url, "STREAMY_RECONNECT_DELAY": 0.1, **(settings or {})},
        )

    def start(self) -> Self:
        super().start()
        eventually(lambda: len(self.pids) == self.COUNT, "all workers")
        # A worker that is stopped before it has begun to listen takes part in nothing.
        for pid in self.pids:
            with self.alone(pid), self._open() as connection:
                assert _who_answers(connection, "GET", "/hello") == pid
        return self

    @property
    def pids(self) -> list[int]:
        """The workers'."""
        return self.children

    @contextmanager
    def alone(self, pid: int) -> Iterator[None]:
        """The others stand still meanwhile, so that whoever connects is this worker's."""
        with self._one_alone:
            others = [psutil.Process(other) for other in self.pids if other != pid]
            try:
                suspend(others)
                yield
            finally:
                for other in others:
                    other.resume()

    def client_of(self, pid: int, *streams: str, **how: Any) -> RawClient:
        """A client of this worker that has the head of its response. how: as in `connect`."""
        with self.alone(pid):
            client = self.connect(*streams, **how)
            client.read_head()
        assert client.header("X-Worker") == [str(pid)]
        return client

    def send_by(self, pid: int, stream: str, *texts: str) -> None:
        """Have this worker publish these, one by one, while the others go on."""
        with self._of_worker(pid) as connection:
            for text in texts:
                assert _who_answers(connection, "POST", f"/send/{quote(stream)}", text) == pid

    def end_by(self, pid: int, stream: str) -> None:
        """Have this worker end the stream."""
        with self._of_worker(pid) as connection:
            assert _who_answers(connection, "POST", f"/end/{quote(stream)}") == pid

    @contextmanager
    def _of_worker(self, pid: int) -> Iterator[HTTPConnection]:
        """A connection that is this worker's, and is kept."""
        with self._open() as connection:
            with self.alone(pid):
                _who_answers(connection, "GET", "/hello")
            yield connection

    @contextmanager
    def _open(self) -> Iterator[HTTPConnection]:
        connection = self.connection()
        try:
            yield connection
        finally:
            connection.close()


def _who_answers(connection: HTTPConnection, method: str, path: str, text: str = "") -> int:
    connection.request(method, path, text.encode())
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, f"{method} {path}: {response.status} {body[:200]!r}"
    return int(response.headers["X-Worker"])
