"""`flask streamy …`, for the streams of one app, and `streamy …`, which needs none."""

from __future__ import annotations

import click

from .. import __version__
from .bound import choose_manager
from .conformance import conformance
from .doctor.commands import doctor, doctor_of_app
from .new_broker import new_broker
from .preparing import forget, init_db
from .publishing import end, send
from .reading import streams, tail
from .runs import runs
from .shell import StreamyGroup
from .tools import backends, demo
from .top.command import top


@click.group("streamy", cls=StreamyGroup)
@click.version_option(__version__, prog_name="streamy")
def main() -> None:
    """Server-Sent Events for Flask. An app's streams are reached by `flask streamy`."""


@click.group("streamy", cls=StreamyGroup)
@click.option(
    "--manager", metavar="NAME", default="default", show_default=True, help="The name of the manager to use."
)
def flask_commands(manager: str) -> None:
    """Publish to this app's streams, and read them."""
    choose_manager(manager)


for _command in (backends, conformance, demo, doctor, new_broker):
    main.add_command(_command)
for _command in (backends, doctor_of_app, end, forget, init_db, runs, send, streams, tail, top):
    flask_commands.add_command(_command)
