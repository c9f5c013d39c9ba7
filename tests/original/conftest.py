"""The original package, from PyPI."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ..support.requirements import go_without

REQUIREMENT = "flask-streamy==0.1.2"
TIME_LIMIT = 90.0


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution. Skips where it can't be had, except in CI."""
    base = tmp_path_factory.getbasetemp()
    # One download serves all of xdist's workers, whose directories lie in the session's.
    kept = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "flask_streamy-0.1.2"
    if not kept.exists():
        fetched = _fetch(tmp_path_factory.mktemp("download"))
        try:
            fetched.rename(kept)
        except OSError:
            assert kept.exists(), "neither fetched here nor by another worker"
    return kept


def _fetch(directory: Path) -> Path:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-binary", "flask-streamy", "--dest", str(directory), REQUIREMENT),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)
        problem = done.stderr.strip().rpartition("\n")[2]
    except subprocess.TimeoutExpired:
        problem = f"not within {TIME_LIMIT:.0f} s"
    archives = list(directory.glob("*.tar.gz"))
    if not archives:
        go_without(f"can't get {REQUIREMENT}: {problem}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(directory, filter="data")
    return directory / "flask_streamy-0.1.2"
