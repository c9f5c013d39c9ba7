"""Whether the database has what is needed, and the epoch that its new streams get."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from sqlalchemy import MetaData
from sqlalchemy.engine.interfaces import DBAPICursor

from streamy_core.broker import BrokerUnavailable, ConfigError, new_epoch

from .database import Database
from .faults import MissingTable, once_more
from .logs import Logs
from .options import Options
from .sessions import Place, elsewhere
from .tables import VERSION


class Readiness:
    """See the module. Any thread, of one process.

    declare: stores what this process says of what is kept.
    """

    def __init__(
        self,
        database: Database,
        logs: Logs,
        metadata: MetaData,
        options: Options,
        declare: Callable[[], None],
    ) -> None:
        self._database = database
        self._logs = logs
        self._metadata = metadata
        self._options = options
        self._declare = declare
        self._epoch: str | None = None
        self._place: Place | None = None  # where the epoch was looked at last

    def epoch(self) -> str:
        """The epoch of new streams, once all is well. Raises ConfigError, BrokerUnavailable."""
        if (epoch := self._epoch) is None or self._database.place is None:
            with self.tables_there():
                epoch = self._epoch = self._prepare()
        return epoch

    def forget(self) -> None:
        """Look anew when it is asked for: the tables may have been made anew."""
        self._epoch = None

    def check_same(self, db: DBAPICursor) -> None:
        """See that the session's log is ours: its events would never be found."""
        if self._place is self._database.place is not None:
            return
        _, epoch = self._logs.meta(db) or (0, "")
        if epoch != self._epoch:
            self._epoch = None  # the tables may have been made anew
        if epoch != self.epoch():
            raise elsewhere("another history", f"that of {self._database.url}")
        if not self._database.dialect.lone_writer:  # whose file may be replaced at any time
            self._place = self._database.place

    @once_more
    def _prepare(self) -> str:
        with self._database.autocommit("check the database") as db:
            self._database.dialect.check(db)
        meta = self._meta()
        if meta is None:
            with self._database.autocommit("begin a history") as db:
                self._logs.set_meta(db, VERSION, new_epoch())
            meta = self._meta()
        self._database.find_place()
        version, epoch = meta or (0, "")
        if version != VERSION:
            raise ConfigError(
                f"the tables {self._options.table_prefix}… in {self._database.url} are of version {version}, "
                f"and {VERSION} is needed: another release of Streamy made them"
            )
        self._declare()
        return epoch

    def _meta(self) -> tuple[int, str] | None:
        for _ in range(2):
            try:
                with self._database.autocommit("find the tables") as db:
                    return self._logs.meta(db)
            except MissingTable as error:
                if not self._options.create_tables:
                    raise ConfigError(
                        f"{self._database.url} has no tables {self._options.table_prefix}…: make them by "
                        "`flask streamy init-db`, or by your migrations"
                    ) from error
                self._database.create(self._metadata)
        return None

    @contextmanager
    def tables_there(self) -> Generator[None]:
        """A missing table is BrokerUnavailable."""
        try:
            yield
        except MissingTable as error:
            raise self.without_tables(error) from error

    def without_tables(self, error: MissingTable) -> BrokerUnavailable:
        """What is raised for a missing table. They are looked for anew."""
        self.forget()  # the next try makes them, if it may
        return BrokerUnavailable(str(error))
