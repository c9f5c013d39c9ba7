"""What several folders of tests need: a browser, a stream of one's own, and the logs of servers."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Generator
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import pytest
from _pytest.terminal import TerminalReporter

# What is compiled is kept, whatever the environment says: it would be compiled anew by each worker, with its
# assertions rewritten, and by each of some thousand processes that tests start.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest.register_assert_rewrite(f"{__package__}.support")

from streamy_core.delivery.detached import slow_clients  # noqa: E402
from streamy_core.engine import record  # noqa: E402

from .support.browser import browser  # noqa: E402
from .support.process import ServerProcess  # noqa: E402

__all__ = ["browser"]


_PROCESSES = {
    "begin", "cluster", "counted_servers", "crash", "elsewhere", "failover", "followed", "full", "outage",
    "own_server", "small_server", "start", "started", "tls_server", "worker", "workers",
}  # fmt: skip
"""Fixtures that start processes."""

_SERVERS = {"running", "server", "servers", "shared_servers"}
"""Those that start servers, where the database is one: SQLite isn't."""


_WAITING = {
    "test_a_fork_while_other_threads_append_and_read_disturbs_nobody",
    "test_a_key_outlasts_seconds",
    "test_a_watch_at_rest_names_nothing_and_leaves_the_cpu_alone",
    "test_what_is_older_than_so_many_seconds_lies_before_the_cursor",
}
"""Promises that are about seconds, or about processes that are forked in the midst of things."""


_ALL_SLOW: Final = re.compile(r"^pytestmark = \[?pytest\.mark\.slow\b", re.MULTILINE)
"""In a file that says so of all its tests."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: tests of servers wait for more than half of their time."""
    cores = len(os.sched_getaffinity(0))
    return cores + cores // 2


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without slow tests, files that have no others are not even imported: most tests stand in those."""
    if config.option.markexpr != "not slow" or not collection_path.match("test_*.py"):
        return None
    return True if _ALL_SLOW.search(collection_path.read_text("utf-8")) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that starts a process, or waits for seconds, is slow, wherever it stands.

    One that is slow is tried again, once, where it fails: all processors are busy with others.
    """
    for item in items:
        if item.name.partition("[")[0] in _WAITING:
            item.add_marker(pytest.mark.slow)
        used = set(getattr(item, "fixturenames", ()))
        if used & _PROCESSES or (used & _SERVERS and "sqlite" not in item.name):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """What passed at the second try only is told in full."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"failed at first: {report.nodeid}")
        terminalreporter.line(report.longreprtext)


def pytest_collection_finish() -> None:
    """Tests that have all garbage collected needn't look through all that is collected of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> str:
    """The name of a stream that no other test uses, and that this one always uses."""
    return f"news:{blake2b(request.node.nodeid.encode(), digest_size=6).hexdigest()}"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the library gives a second, it gives less: to slow clients, and to bells on their way."""
    monkeypatch.setattr(slow_clients, "_INTERVAL", 0.1)
    monkeypatch.setattr(record, "_BELL_TAKES", 0.2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what its servers have written."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for server in item.funcargs.values():
            if isinstance(server, ServerProcess):
                report.sections.append((f"log of {server}", server.log()[-5_000:]))
    return report
