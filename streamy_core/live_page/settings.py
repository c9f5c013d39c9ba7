"""A manager's settings, as an operator may see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..config import PREFIX, Settings

_OF_OURS: Final = "streamy_core.strategies"
"""What is made of settings alone, and shows them."""


def shown_settings(settings: Settings) -> list[dict[str, Any]]:
    """All settings as an operator may see them, without secrets: `key`, `value`, whether it is the `default`.

    Of an object of the app's, which may hold anything, only the type is shown.
    """
    defaults = Settings().redacted()
    return [
        {
            "key": PREFIX + name.upper(),
            "value": _shown(value),
            "default": _shown(value) == _shown(defaults[name]),
        }
        for name, value in settings.redacted().items()
    ]


def _shown(value: object) -> str:
    given: Any = value
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_shown(item)}' for key, item in given.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, given))}]"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    kind: Any = type(value)
    named = given if hasattr(given, "__qualname__") else kind
    module = named.__module__ or "builtins"  # methods of dicts and the like have none
    ours = module.startswith(_OF_OURS)
    return repr(value) if ours and named is not given else f"{module}:{named.__qualname__}"
