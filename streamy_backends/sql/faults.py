"""What the drivers' errors mean: one table for each kind of database.

PostgreSQL:     https://www.postgresql.org/docs/current/errcodes-appendix.html
MySQL, MariaDB: https://mariadb.com/kb/en/mariadb-error-code-reference/, and MySQL's of the same numbers
SQLite:         https://sqlite.org/rescode.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import Enum, auto
from functools import wraps
from typing import Final, NamedTuple, ParamSpec, TypeVar

from streamy_core.broker import BrokerUnavailable

from .drivers import is_driver_error

P = ParamSpec("P")
T = TypeVar("T")


class Conflict(Exception):
    """Something that has to be unique, like an idempotency key, is there already."""


class MissingTable(Exception):
    """One of the tables isn't there."""


class Stale(BrokerUnavailable):
    """The connection is of no use any more, and another may be. What was asked may be done all the same."""


class WriteRefused(Stale):
    """The server takes no writes; the endpoint may lead to another by now. Nothing was stored."""


class Replaced(WriteRefused):
    """The database is another one by now than the connections lead to. Nothing was done."""


def once_more(method: Callable[P, T]) -> Callable[P, T]:
    """Has a method, which may be repeated, done once more if its connection was stale: by a new one."""

    @wraps(method)
    def trying_twice(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except Stale:
            return method(*args, **kwargs)

    return trying_twice


def append_once_more(append: Callable[[], T], key: str | None) -> T:
    """What an append returns. It is done once more where it stored nothing, or where its key sees to that."""
    try:
        return append()
    except WriteRefused:
        return append()
    except Stale:
        if key is None:  # it may have been stored
            raise
        return append()


def contradiction(stream_id: str, error: Conflict) -> str:
    """What is wrong where an entry is there already that the stream's row doesn't count."""
    return (
        f"the tables contradict each other about stream {stream_id!r}: it has entries beyond those that "
        "its row in the table of streams counts, as if that row had been removed; remove these entries, "
        f"too ({error})"
    )


class Meaning(Enum):
    """What comes of an error."""

    PASSING = auto()
    """Trying again may help."""
    REFUSAL = auto()
    """The server takes no writes: connections made anew may lead to one that does."""
    OPENING = auto()
    """At start it is the set-up that is wrong; later it may pass, as while a server is restored."""
    SETUP = auto()
    """Somebody has to change something."""
    DEFECT = auto()
    """The database doesn't understand us, or the tables aren't what we made."""
    CONFLICT = auto()
    """Something that has to be unique is there already."""
    MISSING_TABLE = auto()


class Rule(NamedTuple):
    """An error with one of these codes, or whose text has these words (a pattern), has this meaning.

    codes: numbers; or text that the error's begins with.
    cure:  what mends it, said after the error.
    """

    meaning: Meaning
    codes: tuple[str | int, ...] = ()
    words: str = ""
    cure: str = ""


class Fault(NamedTuple):
    """What an error means, and what mends it, or an empty text."""

    meaning: Meaning
    cure: str = ""


_NO_PREPARED_COMMIT: Final = (
    "set the option notify=false, in all processes: a transaction that notifies can't be prepared"
)
_UTF8: Final = "Streamy needs a database in UTF8: `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`"
_POOLER: Final = "behind a pooler of transactions, set the option notify=false, in all processes"
_CERTIFICATE: Final = "give the path of a file of certificates that is there and signs the server's"
_RIGHTS: Final = (
    "the user needs more rights: GRANT SELECT, INSERT, UPDATE, DELETE on the tables, CREATE to make them"
)
_ROW_FORMAT: Final = (
    "run `SET GLOBAL innodb_default_row_format = DYNAMIC` on the server, and have the tables made anew"
)

POSTGRESQL: Final = (
    Rule(Meaning.MISSING_TABLE, ("42P01", "3F000")),
    Rule(Meaning.CONFLICT, ("23505",)),
    Rule(Meaning.REFUSAL, ("25006",), r"session is read-only|server is in hot standby mode"),
    Rule(
        Meaning.OPENING,
        (),
        r"session is not read-only|server is not in hot standby mode",
        cure="publishing needs a server that takes writes: target_session_attrs=read-write",
    ),
    Rule(
        Meaning.OPENING,
        ("28", "3D000", "08004"),
        r"authentication failed|no password supplied|no pg_hba\.conf",
    ),
    Rule(Meaning.SETUP, ("42501",), cure=_RIGHTS),
    Rule(Meaning.SETUP, ("26000", "42P05"), r"unsupported startup parameter", cure=_POOLER),
    Rule(
        Meaning.SETUP, (), r"cannot PREPARE a transaction that has executed.*NOTIFY", cure=_NO_PREPARED_COMMIT
    ),
    Rule(Meaning.SETUP, ("22P05", "22021"), cure=_UTF8),
    Rule(Meaning.PASSING, ("25P", "08", "40", "53", "55", "57", "58", "XX"), r"cached plan must not change"),
    Rule(Meaning.DEFECT, ("22", "42")),
    # Before it is connected, libpq has no SQLSTATE.
    Rule(
        Meaning.SETUP,
        (),
        r"server does not support SSL",
        cure="switch TLS on at the server (`ssl = on`), or leave sslmode out of the URL",
    ),
    Rule(
        Meaning.SETUP,
        (),
        r"certificate file|root\.crt|certificate verify failed|could not load private key|private key file",
        cure=_CERTIFICATE,
    ),
    Rule(
        Meaning.SETUP,
        (),
        r"invalid \S+ value|invalid (connection|URI) \S+|invalid integer value|invalid port number"
        r"|sslmode value .* invalid",
        cure="mend that parameter of the URL: https://www.postgresql.org/docs/current/libpq-connect.html",
    ),
    Rule(Meaning.OPENING, (), r"does not exist|permission denied|unsupported frontend protocol"),
)
"""By SQLSTATE, or by what libpq says, which has none before it is connected."""

MYSQL: Final = (
    Rule(Meaning.MISSING_TABLE, (1146,)),
    Rule(Meaning.CONFLICT, (1062,)),
    # read_only; a transaction that is; a server that is; a Galera node that isn't ready
    Rule(Meaning.REFUSAL, (1290, 1792, 1836, 1047)),
    Rule(Meaning.OPENING, (1044, 1045, 1049, 1130, 1698)),
    Rule(
        Meaning.SETUP,
        (1142, 1143, 1227),
        cure=_RIGHTS,
    ),
    Rule(Meaning.SETUP, (1665,), cure="run `SET GLOBAL binlog_format = ROW` on the server"),
    Rule(Meaning.SETUP, (1709, 1071), cure=_ROW_FORMAT),
    Rule(Meaning.SETUP, (1048,), cure="take EMPTY_STRING_IS_NULL out of the connection's sql_mode"),
    Rule(
        Meaning.SETUP,
        (3159,),
        r"insecure transport are prohibited",
        cure="the server demands TLS: add `?ssl_ca=/path/of/ca.pem` to the URL",
    ),
    Rule(
        Meaning.SETUP,
        (2026,),
        r"SSL is required|doesn't support SSL|does not support SSL",
        cure="switch TLS on at the server, or leave ssl_… out of the URL",
    ),
    Rule(
        Meaning.SETUP, (), r"certificate verify failed|[Cc]ertificate file|SSL certificate", cure=_CERTIFICATE
    ),
    Rule(Meaning.SETUP, (1115, 1193, 1231, 1273, 1251, 2054, 2059, 2061)),
    Rule(Meaning.PASSING, (1020, 1021, 1040, 1053, 1114, 1203, 1205, 1213, 1226, 1317, 1927, 3024, 4031)),
    Rule(Meaning.DEFECT, (1054, 1064, 1264, 1364, 1366, 1406)),
)
"""By error number."""

SQLITE: Final = (
    Rule(Meaning.MISSING_TABLE, (), r"^no such table"),
    Rule(Meaning.CONFLICT, ("SQLITE_CONSTRAINT",)),
    Rule(Meaning.OPENING, ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_CORRUPT", "SQLITE_NOTADB")),
    Rule(Meaning.OPENING, (), r"unknown database"),
    Rule(Meaning.PASSING, ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_NOMEM")),
)
"""By the name of the result code."""

RAISED_BY_CONNECTING: Final = (
    Rule(
        Meaning.SETUP,
        (),
        r"a string pattern on a bytes-like object",  # what SQLAlchemy makes of SQL_ASCII
        cure=f"if the database's encoding is SQL_ASCII, {_UTF8}",
    ),
    Rule(
        Meaning.SETUP,
        ("RuntimeError",),
        r"cryptography",
        cure="pip install cryptography: the server's way to log in needs it, where there is no TLS",
    ),
    Rule(
        Meaning.SETUP,
        ("FileNotFoundError", "PermissionError", "IsADirectoryError", "SSLError"),
        cure=_CERTIFICATE,
    ),
    Rule(Meaning.PASSING, ("OSError", "MemoryError")),
    Rule(
        Meaning.SETUP,
        ("TypeError", "ValueError", "KeyError", "AttributeError", "RuntimeError", "LookupError"),
    ),
)
"""By the class's name: what is no error of the driver's own comes of what the URL says."""


def meaning_of(error: BaseException, rules: Sequence[Rule]) -> Fault:
    """What an error means, by these rules of its kind of database, else by its class (PEP 249)."""
    names = [kind.__name__ for kind in type(error).__mro__]
    if not is_driver_error(error):
        return _match(names, str(error), RAISED_BY_CONNECTING) or Fault(Meaning.PASSING)
    if found := _match(_codes(error), str(error), rules):
        return found
    if "IntegrityError" in names:
        return Fault(Meaning.CONFLICT)
    if {"ProgrammingError", "DataError", "NotSupportedError"}.intersection(names):
        return Fault(Meaning.DEFECT)
    return Fault(Meaning.PASSING)


def _match(codes: Sequence[str | int], text: str, rules: Sequence[Rule]) -> Fault | None:
    for meaning, known, words, cure in rules:
        if any(_is(code, one) for code in codes for one in known) or (words and re.search(words, text)):
            return Fault(meaning, cure)
    return None


def _is(code: str | int, known: str | int) -> bool:
    return code.startswith(known) if isinstance(code, str) and isinstance(known, str) else code == known


def _codes(error: BaseException) -> list[str | int]:
    """SQLSTATE (psycopg, psycopg2), a number (PyMySQL, mysqlclient), or a result code's name (sqlite3)."""
    named = [getattr(error, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorname")]
    first = error.args[0] if error.args and isinstance(error.args[0], int) else None
    return [code for code in (*named, first) if code is not None]
