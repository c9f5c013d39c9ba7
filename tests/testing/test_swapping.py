"""One test file of an app runs on every backend, by one option."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..backends.redis.servers import HOW_TO_GET, Server, binary
from ..backends.sql.conftest import server_in
from ..support.requirements import go_without

pytestmark = pytest.mark.slow

TESTED = Path(__file__).parents[2] / "docs" / "examples" / "tested"


@pytest.fixture
def url_of(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """The URL of a backend of this kind, which is started for it."""
    with ExitStack() as to_stop:

        def give(kind: str) -> str:
            if kind == "memory":
                return "memory://"
            if kind == "sqlite":
                return f"sqlite:///{tmp_path}/streams.db"
            if kind == "redis":
                program = binary("redis") or go_without(f"redis-server is missing: {HOW_TO_GET}")
                redis = Server(program, tmp_path / "redis").start()
                to_stop.callback(redis.stop)
                return redis.url
            server = server_in(kind, tmp_path / kind)
            to_stop.callback(server.stop)
            return server.start().url

        yield give


def run_tests(*arguments: str, folder: Path = TESTED) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "-v", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql", "mariadb", "redis"])
def test_the_same_tests_pass_on(kind: str, url_of: Callable[[str], str]) -> None:
    told = run_tests(f"--streamy-broker={url_of(kind)}")
    assert told.returncode == 0, told.stdout
    assert re.search(r"^=+ 10 passed in", told.stdout, re.MULTILINE), told.stdout


def test_without_the_option_it_is_memory() -> None:
    told = run_tests()
    assert re.search(r"^=+ 10 passed in", told.stdout, re.MULTILINE), told.stdout


def test_several_brokers_are_run_one_after_the_other_and_no_password_is_shown(
    url_of: Callable[[str], str],
) -> None:
    told = run_tests("--streamy-broker=memory://", f"--streamy-broker={url_of('postgresql')}")
    assert re.search(r"^=+ 20 passed in", told.stdout, re.MULTILINE), told.stdout
    assert "secret" not in told.stdout


AT_ONCE = """
import pytest
from flask import Flask
from streamy_core import StreamManager

@pytest.fixture
def app(streamy_broker):
    app = Flask("shop")
    app.config["STREAMY_BROKER_URL"] = streamy_broker
    StreamManager(app)
    return app

@pytest.mark.parametrize("number", range(8))
def test_mine(app, streamy_client, streamy_broker, number):
    sse = app.extensions["streamy"]["default"]
    sse.send_event("news", str(number))
    sse.end_stream("news")
    assert [event.data for event in streamy_client.open("news").read_to_end()][0] == str(number)
"""


def test_tests_that_run_at_once_on_one_backend_do_not_meet(tmp_path: Path) -> None:
    (tmp_path / "test_at_once.py").write_text(AT_ONCE)
    told = run_tests("-n", "2", f"--streamy-broker=sqlite:///{tmp_path}/streams.db", folder=tmp_path)
    assert re.search(r"^=+ 8 passed in", told.stdout, re.MULTILINE), told.stdout
