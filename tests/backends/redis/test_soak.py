"""What a server answers to many processes at once contradicts itself nowhere, though it dies now and then."""

from __future__ import annotations

import pytest

from streamy_core.testing import soak
from streamy_core.testing.soaking.history import AWAY, Outage

from ..promises.outages import KilledServer
from .conftest import OwnServer
from .test_contract import on

pytestmark = pytest.mark.slow


def test_a_server_that_is_killed_now_and_then_stands_a_soak(own_server: OwnServer, prefix: str) -> None:
    server = own_server("appendonly yes", "appendfsync always").start()
    report = soak(on(server, prefix), seconds=3.5, faults=KilledServer(server))
    assert report.sound, report
    assert any(isinstance(call, Outage) for call in report.history.calls)
    assert any(call.fault.startswith(AWAY) for call in report.history.calls), "nobody noticed"
