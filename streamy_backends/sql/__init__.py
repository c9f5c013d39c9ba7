"""`sqlite:`, `postgresql:`, `mysql:` and `mariadb:`: streams in a database, reached through SQLAlchemy 2.

Needs the extra `sql`. A stream is a row that counts its entries, advanced in the very transaction
that stores them: sequence numbers have no holes, and are in the order of the commits. What has
grown is found by asking for the counters, now and then or when a bell rings.

`add_tables` is for an app's migrations, and `include_object` for those of an old Alembic. Schedulers
for the option `polling` are in `streamy_core.broker`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from streamy_core.broker import BrokerFactory, hookimpl

if TYPE_CHECKING:
    from .broker import SqlBroker as SqlBroker
    from .migrations import include_object as include_object
    from .tables import Tables as Tables
    from .tables import add_tables as add_tables

__all__ = [
    "SCHEMES",
    "SqlBroker",
    "Tables",
    "add_tables",
    "from_url",
    "include_object",
    "streamy_brokers",
]

SCHEMES: Final = (
    "sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgres",
    "mysql", "mysql+pymysql", "mysql+mysqldb", "mariadb", "mariadb+pymysql", "mariadb+mysqldb", "sql",
)  # fmt: skip

_MODULES: Final = {
    "SqlBroker": ".broker",
    "Tables": ".tables",
    "add_tables": ".tables",
    "include_object": ".migrations",
}


@hookimpl
def streamy_brokers() -> Mapping[str, BrokerFactory]:
    return dict.fromkeys(SCHEMES, from_url)


def from_url(url: str, options: Mapping[str, Any]) -> SqlBroker:
    """The broker for `sqlite:///streams.db?history=5000`; `options` win over the query.

    `sql:` with the option `engine` takes a SQLAlchemy engine that is there already.

    Raises ConfigError for a URL or an option that can't be, and for a database that lacks what is
    needed or refuses the login. One that can't be reached may come later: that is logged.
    """
    from .broker import SqlBroker
    from .options import parse  # pyright: ignore[reportAssignmentType] - the argument is no module

    broker = SqlBroker(*parse(url, options))
    broker.check()
    return broker


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # The plug-in is imported wherever Streamy is, and SQLAlchemy is not installed everywhere.
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULES[name], __name__), name)
