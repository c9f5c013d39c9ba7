"""`flask streamy init-db`."""

from __future__ import annotations

import click

from ..binding import Binding
from ..broker import HasTables
from ..errors import ConfigError
from .bound import with_binding
from .shell import say


@click.command("init-db")
@with_binding
def init_db(binding: Binding) -> None:
    """Make the tables of an SQL backend.

    Those that are there stay as they are.
    """
    if not isinstance(binding.broker, HasTables):
        raise ConfigError(f"{type(binding.broker).__name__} has no tables to make")
    binding.broker.create_tables()
    say("The tables are there.")
