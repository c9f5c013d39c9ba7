"""`flask streamy init-db` and `flask streamy forget`: for a backend that keeps streams for good."""

from __future__ import annotations

import click

from ..binding import Binding
from ..broker import Forgets, HasTables
from ..errors import ConfigError
from .bound import with_binding
from .shell import say


@click.command("init-db")
@with_binding
def init_db(binding: Binding) -> None:
    """Make the tables of an SQL backend.

    Those that are there stay as they are. All streams keep from now on what this app's settings say.
    """
    if not isinstance(binding.broker, HasTables):
        raise ConfigError(f"{type(binding.broker).__name__} has no tables to make")
    binding.broker.create_tables()
    say("The tables are there.")


@click.command()
@click.option(
    "--older-than",
    "seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    required=True,
    help="Those that have not been written to for so long.",
)
@click.option("--ended", is_flag=True, help="Only those that have ended.")
@with_binding
def forget(binding: Binding, seconds: float, ended: bool) -> None:
    """Forget old streams of an SQL backend, which keeps each for good.

    Whoever comes back to one is told of a gap.
    """
    if not isinstance(binding.broker, Forgets):
        raise ConfigError(f"{type(binding.broker).__name__} forgets streams by itself")
    count = binding.broker.forget(seconds, ended=ended)
    say(f"Forgotten: {count} {'stream' if count == 1 else 'streams'}.")
