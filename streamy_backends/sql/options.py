"""What may be set, and what a broker URL says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Final

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from streamy_core.errors import ConfigError
from streamy_core.urls import options_of, redact, scheme_of

from .polling import AdaptivePolling, PollScheduler
from .tables import PREFIX

_LONGEST: Final = 100 * 365 * 86_400.0

DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql",
}  # fmt: skip
"""Which driver is taken where the URL names none."""


@dataclass(frozen=True, slots=True)
class Options:
    """What an SQL broker keeps, and how it asks.

    table_prefix:    what the names of its tables begin with.
    schema:          the schema they are in; None: the connection's own.
    create_tables:   whether to make them when they aren't there; if not, `flask streamy init-db` does,
                     or the app's migrations.
    history:         the newest entries of a stream that are kept, at least; up to a quarter more are.
    history_age:     seconds; older entries go.
    key_age:         seconds for which an idempotency key is remembered.
    tidy_every:      seconds between two looks for what has grown too old, by one process of all.
    timeout:         seconds to wait for a connection, or a lock; twice as long for an answer of a server.
    max_connections: the most connections that are in use at once, beside one for the bell.
    notify:          PostgreSQL: whether to use LISTEN and NOTIFY; False behind a pooler of transactions.
    synchronous:     SQLite: "full", or "normal", which is faster and may lose the last events when the
                     power fails, not when a process dies.
    poll_floor:      seconds between two looks while events come, where no bell tells of them.
    poll_ceiling:    seconds between two looks at most.
    polling:         a PollScheduler; wins over these two.
    engine:          a SQLAlchemy engine to use; it is left open when the broker closes.
    """

    table_prefix: str = PREFIX
    schema: str | None = None
    create_tables: bool = True
    history: int = 1_000
    history_age: float = 86_400.0
    key_age: float = 300.0
    tidy_every: float = 60.0
    timeout: float = 5.0
    max_connections: int = 8
    notify: bool = True
    synchronous: str = "full"
    poll_floor: float = 0.05
    poll_ceiling: float = 1.0
    polling: PollScheduler | None = None
    engine: Engine | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("history", "max_connections"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ConfigError(f"sql option {name!r} is a whole number from 1, not {value!r}")
        for name in ("history_age", "key_age", "tidy_every", "timeout", "poll_floor", "poll_ceiling"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0.001 <= value <= _LONGEST
            ):
                raise ConfigError(f"sql option {name!r} is a number of seconds above 0, not {value!r}")
        for name in ("table_prefix", "schema"):
            text: object = getattr(self, name)
            if not isinstance(text, str) and not (name == "schema" and text is None):
                raise ConfigError(f"sql option {name!r} is text, not {text!r}")
        for name in ("create_tables", "notify"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"sql option {name!r} is true or false, not {getattr(self, name)!r}")
        if self.synchronous not in ("full", "normal"):
            raise ConfigError(f"sql option 'synchronous' is full or normal, not {self.synchronous!r}")
        if self.polling is not None and not isinstance(self.polling, PollScheduler):
            raise ConfigError(f"sql option 'polling' is a PollScheduler, not {self.polling!r}")
        if self.engine is not None and not isinstance(self.engine, Engine):
            raise ConfigError(f"sql option 'engine' is a SQLAlchemy Engine, not {self.engine!r}")

    @property
    def poll_scheduler(self) -> PollScheduler:
        """The scheduler that all these come to. Raises ConfigError."""
        return self.polling or AdaptivePolling(self.poll_floor, self.poll_ceiling)


def parse(url: str, options: Mapping[str, Any]) -> tuple[URL, Options]:
    """What the URL and the options say; options win. What isn't ours in the URL is the driver's.

    Raises ConfigError.
    """
    known = {option.name: option for option in fields(Options)}
    for name in options:
        if name not in known:
            raise ConfigError(f"sql has no option {name!r}; it has {', '.join(known)}")
    query = options_of(url)
    for name in query.keys() - known.keys():
        if near := get_close_matches(name, known, n=1):
            raise ConfigError(f"sql has no option {name!r}; did you mean {near[0]!r}?")
    given = {name: _convert(known[name], value) for name, value in query.items() if name in known}
    parsed = Options(**{**given, **{name: _convert(known[name], value) for name, value in options.items()}})
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
            raise ConfigError("sql option 'engine' is an Engine that isn't asyncio's")
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
    if not scheme.startswith("sqlite") and "@" in (database.database or ""):
        raise ConfigError(f"{redact(url)!r} can't be read: percent-encode what is special in its login")
    if not scheme.startswith("sqlite") and not database.database:
        raise ConfigError(f"{redact(url)!r} names no database: {scheme}://host/database")
    return database


def _family(name: str) -> str:
    """What kinds of databases have in common that are spoken to alike."""
    kind = name.partition("+")[0]
    return {"postgres": "postgresql", "mariadb": "mysql"}.get(kind, kind)


def _convert(option: Field[Any], value: Any) -> Any:
    """A text of the query as what the option is; anything else is checked by Options."""
    kind = type(option.default)
    if not isinstance(value, str) or kind is str or option.name == "schema":
        return value
    if kind is bool and value.lower() in ("true", "yes", "1", "false", "no", "0"):
        return value.lower() in ("true", "yes", "1")
    try:
        return kind(value) if kind in (int, float) else value
    except ValueError:
        raise ConfigError(f"sql option {option.name!r} is of type {kind.__name__}, not {value!r}") from None
