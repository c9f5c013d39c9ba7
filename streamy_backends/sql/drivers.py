"""The drivers that are supported, and how they name things."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple

from streamy_core.broker import ConfigError


class Driver(NamedTuple):
    """A driver, by its Python module.

    url:     what begins a URL of SQLAlchemy's that names it.
    install: what pip installs it by.
    """

    module: str
    url: str
    install: str


SUPPORTED: Final[Mapping[str, Driver]] = {
    "pysqlite": Driver("sqlite3", "sqlite+pysqlite", ""),
    "psycopg": Driver("psycopg", "postgresql+psycopg", "psycopg[binary]"),
    "psycopg2": Driver("psycopg2", "postgresql+psycopg2", "psycopg2-binary"),
    "pymysql": Driver("pymysql", "mysql+pymysql", "pymysql"),
    "mysqldb": Driver("MySQLdb", "mysql+mysqldb", "mysqlclient"),
}
"""By SQLAlchemy's names of them."""

_KINDS: Final = {"sqlite3": "sqlite", "psycopg": "postgresql", "psycopg2": "postgresql",
                 "pymysql": "mysql", "MySQLdb": "mysql"}  # fmt: skip

_LIBPQ: Final = """
    host hostaddr port dbname user password passfile require_auth channel_binding connect_timeout
    client_encoding options application_name fallback_application_name keepalives keepalives_idle
    keepalives_interval keepalives_count tcp_user_timeout replication gssencmode sslmode sslnegotiation
    sslcompression sslcert sslkey sslkeylogfile sslpassword sslcertmode sslrootcert sslcrl sslcrldir sslsni
    requirepeer ssl_min_protocol_version ssl_max_protocol_version krbsrvname gsslib gssdelegation
    scram_client_key scram_server_key service servicefile target_session_attrs load_balance_hosts"""
"""https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""

_MYSQL: Final = """
    unix_socket read_default_file read_default_group bind_address charset collation sql_mode use_unicode
    client_flag init_command connect_timeout read_timeout write_timeout local_infile max_allowed_packet
    ssl ssl_ca ssl_cert ssl_key ssl_key_password ssl_capath ssl_cipher ssl_disabled ssl_verify_cert
    ssl_verify_identity ssl_check_hostname ssl_mode program_name binary_prefix compress plugin"""
"""https://pymysql.readthedocs.io/en/latest/modules/connections.html, mysqlclient's, and SQLAlchemy's own"""

_SQLITE: Final = """
    detect_types isolation_level check_same_thread cached_statements uri mode cache immutable vfs"""

PARAMETERS: Final = frozenset(f"{_LIBPQ} {_MYSQL} {_SQLITE}".split())
"""What their URLs may have: no slip for an option of ours, however like one."""


def check_driver(name: str, whose: str) -> None:
    """See that a driver, by SQLAlchemy's name, is supported. Raises ConfigError, with those that are."""
    if name not in SUPPORTED:
        use = ", ".join(f"{driver.url}:" for driver in SUPPORTED.values())
        raise ConfigError(f"{whose} is {name}, which isn't supported; these are: {use}")


def kind_of_connection(connection: Any) -> tuple[str, str] | None:
    """Of a driver's own connection: its module, and SQLAlchemy's name of the database; else None."""
    module = _module_of(connection)
    blocking = not inspect.iscoroutinefunction(getattr(connection, "commit", None))
    is_connection = blocking and hasattr(connection, "rollback") and hasattr(connection, "cursor")
    return (module, _KINDS[module]) if module and is_connection else None


def is_driver_error(error: BaseException) -> bool:
    """Whether it is an `Error` of one of these drivers (PEP 249)."""
    return any(kind.__name__ == "Error" and _top(kind) in _KINDS for kind in type(error).__mro__)


def plain_cursor(connection: Any) -> Any:
    """A DB-API cursor of this driver's connection that gives tuples, whatever the app has set."""
    module = _module_of(connection)
    if module == "sqlite3":
        db = connection.cursor()
        db.row_factory = None
        return db
    if module == "psycopg":
        psycopg = import_module("psycopg")
        return psycopg.Cursor(connection, row_factory=psycopg.rows.tuple_row)
    if module == "psycopg2":
        return connection.cursor(cursor_factory=import_module("psycopg2.extensions").cursor)
    return connection.cursor(import_module(f"{module}.cursors").Cursor)


def _module_of(instance: Any) -> str | None:
    return next((_top(kind) for kind in type(instance).__mro__ if _top(kind) in _KINDS), None)


def _top(kind: type) -> str:
    return kind.__module__.partition(".")[0].lstrip("_")
