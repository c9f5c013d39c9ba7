"""Commands that work on an app's streams: they get what its manager holds for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, ParamSpec

import click
from flask import current_app
from flask.cli import with_appcontext

from ..binding import HOW_TO_SHARE, Binding
from ..errors import ConfigError
from ..manager import EXTENSION, StreamManager

_MANAGER: Final = "streamy.manager"
_NOT_SHARED: Final = (
    "Warning: this app's broker keeps streams in the memory of one process. This command is another "
    "process than the server: neither sees what the other publishes. To share streams, "
    f"{HOW_TO_SHARE} (see `streamy backends`)."
)

P = ParamSpec("P")


def choose_manager(name: str) -> None:
    """Have the command that follows use the app's manager of this name."""
    click.get_current_context().meta[_MANAGER] = name


def chosen_manager() -> str:
    """The name of the manager that the command is to use."""
    name: str = click.get_current_context().meta[_MANAGER]
    return name


def with_binding(command: Callable[Concatenate[Binding, P], None]) -> Callable[P, None]:
    """Call `command` within the app's context, with the binding of the chosen manager.

    Warns if the broker's streams can't be those that the server has. Raises ConfigError if the app
    has no such manager.
    """

    @with_appcontext
    @wraps(command)
    def bound(*args: P.args, **kwargs: P.kwargs) -> None:
        binding = binding_of(chosen_manager())
        if not binding.broker.shared:
            click.echo(_NOT_SHARED, err=True)
        command(binding, *args, **kwargs)

    return bound


def binding_of(name: str) -> Binding:
    """What the current app's manager of this name holds for it. Raises ConfigError if it has none."""
    managers: dict[str, StreamManager] = current_app.extensions.get(EXTENSION, {})
    if not managers:
        raise ConfigError(
            f"the app {current_app.name!r} has no StreamManager: give it one by StreamManager(app), "
            "or by init_app(app) of the one you have"
        )
    if name not in managers:
        known = ", ".join(sorted(managers))
        raise ConfigError(f"the app {current_app.name!r} has no StreamManager named {name!r}; it has {known}")
    return managers[name].binding
