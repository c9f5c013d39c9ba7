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


def run_tests(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "-v", *arguments],
        cwd=TESTED,
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
    assert re.search(r"^=+ 6 passed in", told.stdout, re.MULTILINE), told.stdout


def test_without_the_option_it_is_memory() -> None:
    told = run_tests()
    assert re.search(r"^=+ 6 passed in", told.stdout, re.MULTILINE), told.stdout


def test_several_brokers_are_run_one_after_the_other_and_no_password_is_shown(
    url_of: Callable[[str], str],
) -> None:
    told = run_tests("--streamy-broker=memory://", f"--streamy-broker={url_of('postgresql')}")
    assert re.search(r"^=+ 12 passed in", told.stdout, re.MULTILINE), told.stdout
    assert "secret" not in told.stdout
