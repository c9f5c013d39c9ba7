"""Who is asked again about a client's right to read, and within which app: Flask's side of re-checks."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal

from flask import Flask, current_app, has_app_context

from .config import Settings
from .delivery.questions import MayRead, MayReadMany, Recheck
from .errors import Closed
from .kinds import function
from .options import Kind

_ONE: Final = function("a key and stream ids")
_MANY: Final = function("a list of pairs of a key and stream ids")


class AppContext:
    """Makes contexts of an app, which it doesn't keep alive. Any thread. They have no request."""

    def __init__(self, app: Flask) -> None:
        self._app = weakref.ref(app)
        self._hash = hash(self._app)

    def __call__(self) -> AbstractContextManager[object]:
        """Raises Closed once the app is gone."""
        app = self._app()
        if app is None:
            raise Closed("the app is gone")
        return app.app_context()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AppContext) and self._app == other._app

    def __hash__(self) -> int:
        return self._hash


def recheck_for(
    settings: Settings, one: MayRead | Literal[False] | None, many: MayReadMany | None
) -> Recheck | None:
    """Who is asked about a client that connects now: as the arguments of `get_stream` say, else settings.

    Raises ValueError for an argument that can't be, and for both.
    """
    if one is not None and many is not None:
        raise ValueError("recheck and recheck_many are two ways to ask the same: give one of them")
    if one is False:
        return None
    if one is not None:
        return _recheck(_checked("recheck", one, _ONE), many=False)
    if many is not None:
        return _recheck(_checked("recheck_many", many, _MANY), many=True)
    if settings.recheck is not None:
        return _recheck(settings.recheck, many=False)
    return None if settings.recheck_many is None else _recheck(settings.recheck_many, many=True)


def _checked(name: str, given: object, kind: Kind) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = kind.accepts(given)
    except ValueError:
        raise ValueError(f"{name} has to be {kind.expected}, not {given!r:.100}") from None
    return found


def _recheck(call: Callable[..., Any], *, many: bool) -> Recheck:
    proxy: Any = current_app
    around = AppContext(proxy._get_current_object()) if has_app_context() else nullcontext
    return Recheck(call, many=many, around=around)
