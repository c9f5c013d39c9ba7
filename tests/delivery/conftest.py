"""A stream of one's own, and the server's log for whoever has to find out."""

from __future__ import annotations

from collections.abc import Generator
from secrets import token_hex
from typing import Any

import pytest

from .stage import Gunicorn


@pytest.fixture
def stream() -> str:
    """The name of a stream that no other test uses."""
    return f"news:{token_hex(6)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what its server has written."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for server in item.funcargs.values():
            if isinstance(server, Gunicorn):
                report.sections.append((f"log of {server.pair}", server.log()[-2_000:]))
    return report
