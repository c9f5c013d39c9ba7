"""What a watch asks: which streams have grown, and whether the server is still one that is written to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy.engine.interfaces import DBAPICursor

from .database import Database
from .faults import once_more
from .logs import Logs
from .pages import State
from .role import Role


class Looks:
    """A watch's `Source`. Any thread.

    tables_there: what is entered around each question, which says what is to be done without tables.
    """

    def __init__(
        self, database: Database, logs: Logs, tables_there: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._database = database
        self._logs = logs
        self._tables_there = tables_there
        self._role = Role(database.dialect, database.url)
        self.late_by: int = database.dialect.late_by

    @once_more
    def heads(self, names: Collection[str]) -> Mapping[str, State]:
        """The state of each of these streams that is there. Raises BrokerUnavailable."""
        with self._asking() as db:
            return self._logs.heads(db, names)

    @once_more
    def changes(self, since: int) -> tuple[int, Mapping[str, State]]:
        """See `Logs.changes`. Raises BrokerUnavailable."""
        with self._asking() as db:
            return self._logs.changes(db, since)

    @contextmanager
    def _asking(self) -> Generator[DBAPICursor]:
        with self._tables_there(), self._database.autocommit("ask what has grown") as db:
            yield db
            moved = self._role.is_read_only(db)
        if moved:
            self._database.renew()
