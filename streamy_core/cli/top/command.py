"""`flask streamy top`."""

from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import click
from flask import current_app
from flask.cli import with_appcontext

from ...binding import Binding
from ...errors import BrokerUnavailable, ConfigError
from ...overview import Overview
from ...urls import redact
from ..bound import binding_of, chosen_manager
from ..shell import say, written
from .view import View

if TYPE_CHECKING:
    from .picture import Picture

_EVERY: Final = 1.0
"""Seconds between two pictures."""

_LOOKS_EVERY: Final = 0.2
"""Seconds between two looks whether a process has told anything, where there is none."""

_NOT_READY: Final = 1
_NOBODY: Final = 2


@click.command()
@click.option("--once", is_flag=True, help="Print one picture, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and end.")
@click.option(
    "--within",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=7.0,
    show_default=True,
    help="With these: how long to wait until a process is heard of.",
)
@with_appcontext
def top(once: bool, as_json: bool, within: float) -> None:
    """Show what all processes of this app do.

    They tell it by the broker, with STREAMY_OVERVIEW: clients, rates, lag, what is wrong. The picture is
    drawn anew every second until Ctrl-C; where it goes to no terminal, or to a dumb one, it is printed once.

    Where it prints once, it ends with 1 if a process isn't ready, and with 2 if none is heard of.
    """
    top = Top(binding_of(chosen_manager()), current_app.name)
    if not as_json:
        _need_rich()
    if once or as_json or not _can_draw():
        click.get_current_context().exit(_print_once(top, as_json, within))
    from .screen import draw, open_console

    top.look()  # an error of the first look is told as such, and not on a screen that goes at once
    draw(open_console(), top.picture, top.wait)


def _can_draw() -> bool:
    """Whether standard output is a terminal, and one whose screen can be drawn anew."""
    if not sys.stdout.isatty():
        return False
    from .screen import open_console

    return not open_console().is_dumb_terminal


class Top:
    """What is seen of an app's processes. Raises ConfigError where nothing can be.

    name: the app's.
    """

    def __init__(self, binding: Binding, name: str) -> None:
        if not binding.broker.shared:
            raise ConfigError(
                "this broker's streams are one process's, and nobody else sees what that does: use its page, "
                "/streamy/, or set STREAMY_BROKER_URL to a shared backend"
            )
        if binding.settings.overview is None:
            raise ConfigError(
                "STREAMY_OVERVIEW is off, so that no process tells what it does: set STREAMY_OVERVIEW = "
                '"loopback", here and for the server'
            )
        url = binding.settings.broker_url
        where = redact(url) if isinstance(url, str) else type(url).__name__
        self._title = f"{name}  {where}"
        self._overview = Overview(binding.engine)
        self._trouble = ""

    def look(self) -> View:
        """What is known now. Raises BrokerUnavailable."""
        self._overview.refresh()
        return self._view()

    def wait(self) -> None:
        """Look again after a while, and note where that can't be done: it passes."""
        time.sleep(_EVERY)
        try:
            self._overview.refresh()
        except BrokerUnavailable as error:
            self._trouble = f"nothing new is known: {error}"
        else:
            self._trouble = ""

    def picture(self, height: int | None = None) -> Picture:
        """Of what is known, for a terminal of so many lines; None: for any number."""
        from .picture import Picture

        title = f"{self._title}  {time.strftime('%H:%M:%S')}"
        return Picture(self._view(), title, trouble=self._trouble, height=height)

    def _view(self) -> View:
        return View(self._overview.processes(), time.time())


def _print_once(top: Top, as_json: bool, within: float) -> int:
    """Print what is known as soon as anything is. Returns the exit code."""
    end = time.monotonic() + within
    while not (view := top.look()).processes and time.monotonic() < end:
        time.sleep(_LOOKS_EVERY)
    if as_json:
        say(json.dumps(view.as_json(), indent=2))
    elif view.processes:
        from .screen import open_console

        with written():
            open_console().print(top.picture())
    if not view.processes:
        click.echo(
            f"Error: no process has told anything within {within:g} s: does the server run, with the same "
            "STREAMY_BROKER_URL and with STREAMY_OVERVIEW?",
            err=True,
        )
        return _NOBODY
    return 0 if view.ready else _NOT_READY


def _need_rich() -> None:
    if find_spec("rich") is None:
        raise click.ClickException("pictures need: pip install 'streamy-sse[top]' (--json doesn't)")
