"""What may be set, and what a broker URL says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from streamy_core.broker import AdaptivePolling, ConfigError, PollScheduler, options_of, redact, scheme_of
from streamy_core.options import (
    flag,
    instance,
    near_name,
    one_of,
    option,
    option_names,
    optional,
    parse_options,
    seconds,
    text,
    unknown_option,
    whole,
)

from .drivers import PARAMETERS, check_driver

DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql",
}  # fmt: skip
"""Which driver is taken where the URL names none."""

PREFIX: Final = "streamy_"
"""What the names of tables begin with, where nothing else is set."""

LABEL: Final = "sql option {!r}".format
"""What errors call an option."""

_LIKENESS: Final = 0.8
"""How like ours the name of a driver's own option mustn't be. (`read_timeout` is no slip for `timeout`.)"""

_IDENTIFIER: Final = text(
    "text of letters, digits and underscores", lambda value: re.fullmatch(r"\w*", value, re.ASCII) is not None
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an SQL broker keeps, and how it asks."""

    table_prefix: str = option(
        PREFIX, _IDENTIFIER, doc="What the names of its tables begin with: letters, digits and underscores."
    )
    schema: str | None = option(
        None, optional(_IDENTIFIER), doc="The schema that they are in; `None`: the connection's own."
    )
    create_tables: bool = option(True, flag(), doc="Whether tables that aren't there are made.")
    history: int | None = option(
        None,
        optional(whole(1, 2**31 - 1)),
        doc="The newest entries of a stream that are kept, at least; up to a quarter more are. It keeps the "
        "most that any process says; `None`: what others say, or 1,000.",
    )
    history_age: float | None = option(
        None,
        optional(seconds()),
        doc="Seconds; older entries go. Likewise; `None`: what others say, or 86,400, a day.",
    )
    forget_after: float | None = option(
        None,
        optional(seconds()),
        doc="Seconds after which a stream that isn't written to is forgotten, its end too; `None`: never.",
    )
    key_age: float = option(300.0, seconds(), doc="Seconds for which an idempotency key is remembered.")
    tidy_every: float = option(
        60.0, seconds(), doc="Seconds after which one process of all removes what has grown too old."
    )
    timeout: float = option(
        5.0,
        seconds(),
        doc="Seconds to wait for a connection or a lock; twice as long for an answer of a server.",
    )
    max_connections: int = option(
        8, whole(1), doc="The most connections that a process uses at once; the bell's comes on top."
    )
    notify: bool = option(
        True,
        flag(),
        doc="PostgreSQL: whether to use `LISTEN` and `NOTIFY`; `False` behind a pooler of transactions.",
    )
    synchronous: str = option(
        "full",
        one_of("full", "normal"),
        doc="SQLite: `full`, or `normal`, which is faster and may lose the last events if the power fails.",
    )
    poll_floor: float = option(
        0.05, seconds(), doc="Seconds between two looks while events come, where no bell tells of them."
    )
    poll_ceiling: float = option(1.0, seconds(), doc="Seconds between two looks at most.")
    polling: PollScheduler | None = option(
        None,
        optional(instance(PollScheduler, "a PollScheduler")),
        doc="A `PollScheduler`, in place of the two above.",
    )
    engine: Engine | None = option(
        None,
        optional(instance(Engine, "a SQLAlchemy Engine")),
        doc="A SQLAlchemy engine to share; it is left open when the broker closes.",
        secret=True,
    )

    @property
    def declared(self) -> tuple[int, int]:
        """What this process says of each stream: entries that are kept, and milliseconds; 0: nothing."""
        return self.history or 0, round((self.history_age or 0.0) * 1_000)

    @property
    def poll_scheduler(self) -> PollScheduler:
        """The scheduler that all these come to. Raises ConfigError."""
        return self.polling or AdaptivePolling(self.poll_floor, self.poll_ceiling)


def parse(url: str, options: Mapping[str, Any]) -> tuple[URL, Options]:
    """What the URL and the options say; options win. What isn't ours in the URL is the driver's.

    Raises ConfigError.
    """
    known = option_names(Options)
    query = options_of(url)
    for name in query.keys() - set(known):
        if name not in PARAMETERS and near_name(name, known, _LIKENESS):
            raise ConfigError(unknown_option(LABEL(name), name, known))
    ours = {name: value for name, value in query.items() if name in known}
    parsed = parse_options(Options, {**ours, **options}, LABEL)
    parsed.poll_scheduler  # noqa: B018 - which may refuse
    return _database(url, parsed).difference_update_query(known), parsed


def _database(url: str, options: Options) -> URL:
    scheme = scheme_of(url)
    if options.engine is not None:
        engine = options.engine
        if scheme != "sql" and _family(scheme) != _family(engine.dialect.name):
            raise ConfigError(
                f"{scheme}: is not what the engine leads to, which is {engine.dialect.name}: write sql:"
            )
        if engine.dialect.is_async:
            raise ConfigError(f"{LABEL('engine')} has to be an Engine that isn't asyncio's")
        if _family(engine.dialect.name) in ("sqlite", "postgresql", "mysql"):  # others are refused as such
            check_driver(engine.dialect.driver, "the engine's driver")
        return engine.url
    if scheme == "sql":
        raise ConfigError("sql: takes the database from the option 'engine', a SQLAlchemy Engine")
    try:
        database = make_url(url)
        database.port  # noqa: B018
    except (ArgumentError, ValueError):
        raise ConfigError(
            f"{redact(url)!r} is no URL of a database: percent-encode what is special in its login"
        ) from None
    if scheme in DRIVERS:
        database = database.set(drivername=DRIVERS[scheme])
    in_memory = database.database in (None, "", ":memory:") or database.query.get("mode") == "memory"
    if scheme.startswith("sqlite") and in_memory:
        raise ConfigError(
            "sqlite: names a file that processes share, like sqlite:///streams.db; for memory there is memory://"
        )
    if not scheme.startswith("sqlite") and "@" in f"{database.host}{database.database}":
        raise ConfigError(f"{redact(url)!r} can't be read: percent-encode what is special in its login")
    if not scheme.startswith("sqlite") and not database.database:
        raise ConfigError(f"{redact(url)!r} names no database: {scheme}://host/database")
    return database


def _family(name: str) -> str:
    """What kinds of databases have in common that are spoken to alike."""
    kind = name.partition("+")[0]
    return {"postgres": "postgresql", "mariadb": "mysql"}.get(kind, kind)
