"""`streamy conformance` tells, for any installed backend, which promises it keeps."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .command import STREAMY

pytestmark = pytest.mark.slow

FORGETFUL = '''
from streamy_backends.memory import MemoryBroker
from streamy_core.broker import hookimpl


class ForgetfulBroker(MemoryBroker):
    """A repeated key stores once more."""

    def append(self, stream_id, events, *, idempotency_key=None):
        return super().append(stream_id, events)


@hookimpl
def streamy_brokers():
    return {"forgetful": lambda url, options: ForgetfulBroker()}
'''


def conformance(*args: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [STREAMY, "conformance", *args],
        env={**os.environ, "PYTHONPATH": str(path or "")},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture
def plug_in(tmp_path: Path) -> Path:
    """Where the plug-in for forgetful: is installed."""
    info = tmp_path / "forgetful-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: forgetful\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[streamy]\nforgetful = forgetful\n")
    (tmp_path / "forgetful.py").write_text(FORGETFUL)
    return tmp_path


def test_a_backend_that_keeps_all_promises_is_told_so(tmp_path: Path) -> None:
    told = conformance(f"sqlite:///{tmp_path}/streams.db", "-k", "names or trimmed or storm")
    assert told.returncode == 0, told.stderr
    assert "kept       names are exact" in told.stdout
    assert "no bell is forgotten in a storm" in told.stdout
    assert ", 0 BROKEN, 0 not asked" in told.stdout


def test_a_broken_promise_is_named_with_what_happened(plug_in: Path) -> None:
    told = conformance("forgetful://", "-k", "repeated_key or names", path=plug_in)
    assert told.returncode == 1
    assert "BROKEN     a repeated key stores nothing and returns the same ids\n" in told.stdout
    assert "AssertionError" in told.stdout
    assert "kept       names are exact" in told.stdout


def test_what_a_backend_does_not_claim_is_not_asked_and_why_is_said() -> None:
    told = conformance("memory://", "-k", "every_process")
    assert "not asked  a key holds in every process\n" in told.stdout
    assert "shared = False" in told.stdout
    assert told.returncode == 1, "nothing that was asked was kept"


def test_a_url_that_can_not_be_is_refused_in_a_line() -> None:
    told = conformance("sqlight:///x.db")
    assert told.returncode == 1
    assert "did you mean sqlite://?" in told.stderr
    assert "Traceback" not in told.stderr
