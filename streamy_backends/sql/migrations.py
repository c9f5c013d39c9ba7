"""Alembic, which takes tables that the app's models don't have for ones to be dropped: ours it leaves alone.

From Alembic 1.18 on this is a plug-in, found by its entry point in the group `alembic.plugins`
(https://alembic.sqlalchemy.org/en/latest/api/plugins.html): it needs nothing of the app. For an older
one a broker registers it in its own process, which `flask db migrate` is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import cache
from types import ModuleType
from typing import Any, Final

from sqlalchemy import MetaData

from .tables import add_tables


def include_object(object: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
    """For Alembic's setting `include_object`: leaves out our tables, unless the app's models have them."""
    return not (type_ == "table" and reflected and compare_to is None and is_ours(name or "", object.columns))


def is_ours(name: str, columns: Iterable[Any]) -> bool:
    """Whether a table of this name, with these columns, is one of ours, whatever its prefix."""
    found = {column.name for column in columns}
    return any(name.endswith(ending) and expected <= found for ending, expected in _shapes().items())


def leave_ours(_context: Any, upgrade_ops: Any, *_: Any) -> Any:
    """Take the drops of our tables out of what Alembic has found to do."""
    dropped = {_table_of(step) for step in upgrade_ops.ops if _drops_ours(step)}
    # Before a table is dropped, so are its indexes.
    upgrade_ops.ops[:] = [step for step in upgrade_ops.ops if _table_of(step) not in dropped]
    return _go_on()


def register_with_old_alembic() -> None:
    """Have an Alembic that knows no plug-ins, if it is imported in this process, leave our tables alone."""
    if "alembic.autogenerate" in sys.modules and "alembic.runtime.plugins" not in sys.modules:
        _register()


@cache
def _register() -> None:
    from alembic.autogenerate import comparators

    comparators.dispatch_for("schema")(leave_ours)


@cache
def _shapes() -> dict[str, set[str]]:
    tables = add_tables(MetaData(), prefix="")
    return {table.name: {column.name for column in table.columns} for table in tables}


def _drops_ours(step: Any) -> bool:
    return type(step).__name__ == "DropTableOp" and is_ours(step.table_name, step.to_table().columns)


def _table_of(step: Any) -> tuple[str | None, str | None]:
    return getattr(step, "schema", None), getattr(step, "table_name", None)


def _go_on() -> Any:
    if "alembic.runtime.plugins" not in sys.modules:
        return None
    from alembic.util import PriorityDispatchResult

    return PriorityDispatchResult.CONTINUE


class _Plugin(ModuleType):
    """What the entry point gives: a module with `setup`, taken by Alembic 1.18 for a collection of such."""

    def setup(self, plugin: Any) -> None:
        from alembic.util import DispatchPriority

        plugin.add_autogenerate_comparator(leave_ours, "schema", "streamy", priority=DispatchPriority.LAST)

    def __iter__(self) -> Iterator[ModuleType]:
        yield self


plugin: Final = _Plugin(__name__)
