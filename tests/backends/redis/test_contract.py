"""The same promises as every broker, on every kind of server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamy_core.testing import BrokerContract, FaultContract, Faults, FromUrl, MakeBroker

from ..promises.outages import KilledServer
from .conftest import ALL_KINDS, KINDS, OwnServer
from .drivers import from_url
from .servers import Server

pytestmark = pytest.mark.slow


def on(server: Any, prefix: str) -> MakeBroker:
    return FromUrl(server.url, from_url, prefix=f"{prefix}-{{log}}")


class TestRedisBroker(BrokerContract):
    @pytest.fixture(params=[*ALL_KINDS, "sentinel", "cluster", "old cluster"])
    def make_broker(
        self, request: pytest.FixtureRequest, shared: Callable[[str], Any], prefix: str
    ) -> MakeBroker:
        return on(shared(request.param), prefix)

    @pytest.fixture
    def wipe(self, make_broker: MakeBroker, prefix: str) -> Callable[[], None]:
        def delete_all() -> None:
            with make_broker() as broker:
                for node in broker._servers.nodes():  # type: ignore[attr-defined]
                    for key in node.scan_iter(f"*{prefix}-*", 1_000):
                        node.delete(key)

        return delete_all


class TestRedisFaults(FaultContract):
    @pytest.fixture(params=KINDS)
    def server(self, request: pytest.FixtureRequest, own_server: OwnServer) -> Server:
        return own_server("appendonly yes", "appendfsync always", kind=request.param).start()

    @pytest.fixture
    def make_broker(self, server: Server, prefix: str) -> MakeBroker:
        return on(server, prefix)

    @pytest.fixture
    def faults(self, server: Server) -> Faults:
        return KilledServer(server)
