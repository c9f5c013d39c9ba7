"""The same promises as every broker, on every kind of database."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamy_backends.sql import from_url
from streamy_core.testing import BrokerContract, FaultContract, Faults, FromUrl, MakeBroker

from ..promises.outages import KilledServer
from .conftest import KINDS, OTHER_DRIVERS, SERVERS, OwnServer, by_driver
from .servers import Server


def on(url: str, prefix: str) -> MakeBroker:
    return FromUrl(url, from_url, table_prefix=f"{prefix}{{log}}_")


class TestSqlBroker(BrokerContract):
    @pytest.fixture(params=[*KINDS, "as mysql"])
    def make_broker(
        self, request: pytest.FixtureRequest, url_of: Callable[[str], str], prefix: str
    ) -> MakeBroker:
        """ "as mysql" is a MariaDB server that is spoken to as if it were MySQL."""
        if request.param == "as mysql":
            return on(url_of("mariadb").replace("mariadb://", "mysql://"), prefix)
        return on(url_of(request.param), prefix)


class TestOtherDrivers(BrokerContract):
    @pytest.fixture(params=OTHER_DRIVERS)
    def make_broker(
        self, request: pytest.FixtureRequest, url_of: Callable[[str], str], prefix: str
    ) -> MakeBroker:
        return on(by_driver(request.param, url_of), prefix)


class TestSqlFaults(FaultContract):
    @pytest.fixture(params=SERVERS)
    def server(self, request: pytest.FixtureRequest, own_server: OwnServer) -> Server:
        return own_server(request.param).start()

    @pytest.fixture
    def make_broker(self, server: Server, prefix: str) -> MakeBroker:
        return on(server.url, prefix)

    @pytest.fixture
    def faults(self, server: Server) -> Faults:
        return KilledServer(server)
