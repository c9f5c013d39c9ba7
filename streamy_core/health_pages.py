"""What tells an operator, and what watches the process, how it is doing: `/ready` and `/live`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, Response, jsonify, request

from .admission import may_be_told
from .binding import Binding
from .delivery.servers import server_of
from .engine.health import Trouble


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
    told = may_be_told(binding.settings.health_allow, request, "STREAMY_HEALTH_ALLOW")
    wrong: list[dict[str, Any]] = []
    for what, seconds, detail in troubles:
        more = {"detail": detail} if told and detail else {}
        wrong.append({"what": str(what), "for": round(seconds, 1), **more})
    response = jsonify({question: not wrong, "wrong": wrong})
    response.status_code = 503 if wrong else 200
    response.headers["Cache-Control"] = "no-store"
    return response
