"""A plug-in that is a distribution of its own, installed as anybody's would be, keeps every promise."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from streamy_core import StreamManager
from streamy_core.testing.reading import DEADLINE

from ..support import ROOT
from ..support.requirements import go_without

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "docs" / "examples"
SOURCE = EXAMPLES / "nats"
TESTED = EXAMPLES / "tested"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plug-in's folder, in a place where it may be built and tested."""
    if not importlib.util.find_spec("nats"):
        go_without('nats-py is missing: pip install "streamy-sse[dev]"')
    folder = tmp_path_factory.mktemp("source") / "nats"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__", ".*", "build", "*.egg-info"))
    return folder


@pytest.fixture(scope="module")
def servers(source: Path) -> ModuleType:
    """Its module for servers."""
    spec = importlib.util.spec_from_file_location("nats_servers", source / "tests" / "servers.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not module.program():
        go_without(module.HOW_TO_GET)
    return module


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which it has been installed, with this environment's setuptools."""
    if not builds():
        go_without('setuptools 77 or newer is missing: pip install "streamy-sse[dev]"')
    target = tmp_path_factory.mktemp("installed")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--target", str(target))
    done = run(sys.executable, "-m", "pip", "install", *options, str(source), path=None)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def url(servers: ModuleType, tmp_path: Path) -> Iterator[str]:
    server = servers.Server(tmp_path)
    server.start()
    yield server.url
    server.stop()


def test_its_own_tests_pass(installed: Path, source: Path, servers: ModuleType) -> None:
    # Not from its folder, where the package lies that hasn't been installed.
    done = run(sys.executable, "-m", "pytest", "-q", path=installed, folder=source / "tests")
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_listed_as_a_backend(installed: Path, tmp_path: Path) -> None:
    call = "from streamy_core.cli import main; main()"
    done = run(sys.executable, "-c", call, "backends", path=installed, folder=tmp_path)
    assert ["nats", "streamy-nats", "0.1.0", "ok"] in [line.split() for line in done.stdout.splitlines()]


def test_a_manager_publishes_and_a_subscriber_reads(
    installed: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed)
    with StreamManager(broker=url) as publisher, StreamManager(broker=url) as reader:
        before = publisher.send_event("news", "before")
        with reader.subscribe("news", after=before) as subscription:
            ids = [publisher.send_event("news", data) for data in ("a", "b")]
            publisher.end_stream("news")
            entries = [subscription.next(DEADLINE), subscription.next(DEADLINE)]
            assert [(entry.id, entry.event.data) for entry in entries if entry] == [
                *zip(ids, "ab", strict=True)
            ]
            assert subscription.next(DEADLINE) is None, "it has ended"


def test_an_apps_tests_run_on_it_by_one_option(installed: Path, url: str) -> None:
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull)
    done = run(*command, f"--streamy-broker={url}", path=installed, folder=TESTED)
    assert " 10 passed in" in done.stdout, done.stdout + done.stderr


def builds() -> bool:
    """Whether this environment's setuptools are what the plug-in asks for."""
    try:
        return int(importlib.metadata.version("setuptools").partition(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        return False


def run(*command: str, path: Path | None, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it, with this directory on the path."""
    places = {"PYTHONPATH": str(path)} if path else {}
    # Not the options and the worker's number of this run of the tests.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command, cwd=folder, env={**inherited, **places}, capture_output=True, text=True, timeout=110
    )
