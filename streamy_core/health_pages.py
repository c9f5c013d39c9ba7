"""What tells an operator, and what watches the process, how it is doing: `/ready` and `/live`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any, Final

from flask import Blueprint, Request, Response, jsonify, request

from .binding import Binding
from .delivery.servers import server_of
from .engine.health import Trouble

_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""What proxies put into requests that are others'."""

logger: Final = logging.getLogger("streamy.health")


def add_health(blueprint: Blueprint, binding: Callable[[], Binding]) -> None:
    """Have a manager's blueprint serve `/ready` and `/live`. binding: that of the current app."""

    @blueprint.get("/ready")
    def ready() -> Response:
        bound = binding()
        return _answer("ready", bound, bound.checkup.ready(server_of(request.environ)))

    @blueprint.get("/live")
    def live() -> Response:
        bound = binding()
        return _answer("live", bound, bound.checkup.live())


def _answer(question: str, binding: Binding, troubles: Iterable[Trouble]) -> Response:
    told = _may_be_told(binding.settings.health_allow)
    wrong: list[dict[str, Any]] = []
    for what, seconds, detail in troubles:
        more = {"detail": detail} if told and detail else {}
        wrong.append({"what": str(what), "for": round(seconds, 1), **more})
    response = jsonify({question: not wrong, "wrong": wrong})
    response.status_code = 503 if wrong else 200
    response.headers["Cache-Control"] = "no-store"
    return response


def _may_be_told(allow: str | Callable[[Any], object] | None) -> bool:
    """Whether who asks may know what failed, with names and hosts."""
    if allow is None:
        return False
    if isinstance(allow, str):  # "loopback"; a name has been looked up
        return _is_local(request)
    try:
        return bool(allow(request))
    except Exception:
        # Whether the process is ready is no matter of who may be told why.
        logger.exception("STREAMY_HEALTH_ALLOW has failed, so nobody is told what is wrong")
        return False


def _is_local(asked: Request) -> bool:
    try:
        local = ip_address(asked.remote_addr or "").is_loopback
    except ValueError:  # a Unix socket: whoever is in front of it
        return False
    return local and not any(name in asked.headers for name in _FORWARDED)
