"""What a server answers to many processes at once contradicts itself nowhere, though it dies now and then."""

from __future__ import annotations

from streamy_core.testing import soak

from ..promises.outages import KilledServer
from .conftest import OwnServer
from .test_contract import on


def test_a_server_that_is_killed_now_and_then_stands_a_soak(own_server: OwnServer, prefix: str) -> None:
    server = own_server("appendonly yes", "appendfsync always").start()
    report = soak(on(server, prefix), seconds=2.5, faults=KilledServer(server))
    assert report.sound, report
