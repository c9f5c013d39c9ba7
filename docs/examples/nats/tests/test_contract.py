"""The same promises as every broker's, on a real server."""

from __future__ import annotations

import pytest
from servers import Server
from streamy_nats import from_url

from streamy_core.testing import BrokerContract, FaultContract, Faults, FromUrl, MakeBroker


class TestNatsBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self, make_broker: MakeBroker) -> MakeBroker:
        return make_broker


class TestNatsFaults(FaultContract):
    @pytest.fixture
    def make_broker(self, own_server: Server) -> MakeBroker:
        return FromUrl(own_server.url, from_url, prefix="{log}")

    @pytest.fixture
    def faults(self, own_server: Server) -> Faults:
        return own_server
