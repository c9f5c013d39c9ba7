"""The same promises as every broker, on every kind of database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import inspect, text

from streamy_core.testing import BrokerContract, FaultContract, Faults, FromUrl, MakeBroker
from streamy_core.testing.within_contract import Begin

from ..promises.outages import KilledServer
from .conftest import KINDS, OTHER_DRIVERS, SERVERS, NewEngine, OwnServer, by_driver
from .drivers import from_url
from .servers import Server
from .shop import in_a_session


def on(url: str, prefix: str) -> FromUrl:
    return FromUrl(url, from_url, table_prefix=f"{prefix}{{log}}_")


class HasTablesToDrop:
    """How to delete everything that the broker has stored."""

    @pytest.fixture
    def wipe(self, make_broker: FromUrl, new_engine: NewEngine, prefix: str) -> Callable[[], None]:
        engine = new_engine(make_broker.url)

        def drop_tables() -> None:
            with engine.begin() as db:
                for table in inspect(db).get_table_names():
                    if table.startswith(prefix):
                        db.execute(text(f"DROP TABLE {table}"))

        return drop_tables

    @pytest.fixture
    def begin(self, make_broker: FromUrl, new_engine: NewEngine) -> Begin:
        return partial(in_a_session, new_engine(make_broker.url))


class TestSqlBroker(HasTablesToDrop, BrokerContract):
    @pytest.fixture(params=[*KINDS, "as mysql"])
    def make_broker(
        self, request: pytest.FixtureRequest, url_of: Callable[[str], str], prefix: str
    ) -> MakeBroker:
        """ "as mysql" is a MariaDB server that is spoken to as if it were MySQL."""
        if request.param == "as mysql":
            return on(url_of("mariadb").replace("mariadb://", "mysql://"), prefix)
        return on(url_of(request.param), prefix)


class TestOtherDrivers(HasTablesToDrop, BrokerContract):
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
