"""SQLAlchemy engines of the broker's own."""

from __future__ import annotations

import warnings
from typing import Any, Final

from sqlalchemy import URL, Dialect, Engine, create_engine, event
from sqlalchemy import exc as sa

from streamy_core.broker import ConfigError, redact

from . import dialect as own
from .mysql import Mariadb, Mysql
from .options import Options
from .postgresql import Postgresql
from .sqlite import Sqlite

_KINDS: Final[dict[str, type[own.Dialect]]] = {
    "sqlite": Sqlite, "postgresql": Postgresql, "mysql": Mysql, "mariadb": Mariadb,
}  # fmt: skip


def kind_of(url: URL) -> type[own.Dialect]:
    """The dialect for a database. Raises ConfigError if there is none."""
    name = url.get_backend_name()
    if name not in _KINDS:
        raise ConfigError(f"streams can't be kept in {name}; they can in {', '.join(_KINDS)}")
    return _KINDS[name]


def new_engine(url: URL, options: Options) -> Engine:
    """An engine that commits each statement by itself. Raises ConfigError for an option that can't be."""
    kind = kind_of(url)
    with warnings.catch_warnings():
        warnings.simplefilter("error", sa.SAWarning)  # which is all that SQLAlchemy has for an unknown option
        try:
            engine = create_engine(
                url,
                isolation_level="AUTOCOMMIT",
                pool_size=options.max_connections,
                max_overflow=0,
                pool_timeout=options.timeout,
                pool_reset_on_return=None,
                connect_args=kind.connect_arguments(url, options),
            )
        except (sa.SAWarning, sa.ArgumentError, ValueError, TypeError) as error:
            raise ConfigError(f"{redact(url.render_as_string())}: {error}") from None

    def connect(dialect: Dialect, _record: object, args: list[Any], arguments: dict[str, Any]) -> Any:
        return kind.connect(dialect.driver, options, args, arguments)

    def prepare(connection: Any, _record: object) -> None:
        db = connection.cursor()
        for setting in kind.settings(options):
            db.execute(setting)
        db.close()

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", prepare, insert=True)  # before SQLAlchemy looks at what is set
    return engine
