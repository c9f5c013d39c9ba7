"""To the author of a broker, what isn't written yet is a to-do list: a part of the pytest plug-in.

A test of the contract that meets such a method fails. It isn't among the failures, but a line of a list
in the end, below the method to write; a test's cases are one line.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from .basis import TO_DO, Contract, to_do, unwritten


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Where a method isn't written, fail with what it is to do, and no traceback."""
    try:
        return (yield)
    except NotImplementedError as error:
        told = unwritten(error)
        if told is None or not issubclass(getattr(item, "cls", None) or object, Contract):
            raise
        raise to_do(told) from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have the report say so, too: one that another process of xdist's made has it still."""
    report = yield
    told = getattr(call.excinfo.value, TO_DO, None) if call.excinfo else None
    if report.failed and told:
        setattr(report, TO_DO, told)
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """A category of its own, which counts as failed all the same."""
    return ("to do", "t", "TO DO") if hasattr(report, TO_DO) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The list, in the order in which the contract asks."""
    promises: dict[str, dict[str, None]] = {}
    for report in terminalreporter.getreports("to do"):
        promises.setdefault(getattr(report, TO_DO), {})[_promise(report.nodeid)] = None
    if promises:
        terminalreporter.section("to do")
    for told, kept in promises.items():
        terminalreporter.line(told)
        for promise in kept:
            terminalreporter.line(f"  - {promise}")


def _promise(nodeid: str) -> str:
    """`test_x.py::TestMine::test_names_are_exact[a]` is `names are exact`."""
    name = nodeid.partition("[")[0].rpartition("::")[2]
    return name.removeprefix("test_").replace("_", " ")
