"""Behind nginx by the uwsgi protocol, which has no chunks: the body is the events, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ...support.app_server import APP, SLOTS, AppServer
from ...support.certificates import make_certificate
from ...support.nginx import Nginx
from ...support.ports import free_port
from ...support.process import ServerProcess
from ...support.raw_client import RawClient
from ...support.requirements import go_without
from ...support.web_server import Pair

pytestmark = pytest.mark.slow

SETTINGS: Final = {"STREAMY_BROKER_URL": "memory://", "STREAMY_DELIVERY": "detached", SLOTS: None}


class Uwsgi(ServerProcess):
    """uWSGI that speaks its protocol."""

    def __init__(self, log: Path) -> None:
        path = Path(sys.executable).with_name("uwsgi")
        if not path.exists():
            go_without("uWSGI is missing: pip install uwsgi")
        self.address = ("127.0.0.1", free_port())
        options = ["--uwsgi-socket", f"127.0.0.1:{self.address[1]}", "--threads", "2", "--die-on-term"]
        super().__init__([str(path), *options, "--need-app", "--module", APP], log, environment=SETTINGS)

    def answers(self) -> bool:
        return "spawned uWSGI worker" in self.log()


class Gunicorn(AppServer):
    """gunicorn with `--protocol uwsgi`."""

    def __init__(self, log: Path) -> None:
        pair = Pair("gthread", "detached", threads=2)
        options = ("--graceful-timeout", "5", "--protocol", "uwsgi")
        super().__init__(log, pair, options=options, settings={SLOTS: None}, port=free_port())

    def answers(self) -> bool:
        return "Booting worker" in self.log()


@pytest.fixture(params=[Uwsgi, Gunicorn], ids=["uWSGI", "gunicorn"])
def begin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nginx]:
    with request.param(tmp_path / "log").start() as server:
        nginx = Nginx(tmp_path, server.address, make_certificate(tmp_path), protocol="uwsgi")
        with nginx.start():
            yield nginx


def test_a_body_has_no_marks_of_chunks(begin: Nginx, stream: str) -> None:
    with RawClient(begin.plain, f"/stream?ids={stream}") as client:
        client.read_opening()
        for text in ("a", "b"):
            send(begin, stream, text)
        assert [message.data for message in client.read(2)] == ["a", "b"]
        assert client.rest == b""


def send(nginx: Nginx, stream: str, text: str) -> None:
    head = {"Content-Length": str(len(text)), "Connection": "close"}
    with RawClient(nginx.plain, f"/send/{stream}", method="POST", headers=head, behind=text.encode()) as sent:
        assert sent.read_all().startswith(b"HTTP/1.1 200")
