"""The view that shows metrics to whoever scrapes them, where they are kept for that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from flask import Blueprint, Request, Response, abort, request

from ..config import Settings
from ..observers.metrics import Shown
from ..tally import Tally

logger: Final = logging.getLogger("streamy.manager")

_OF_PROXIES: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
"""What a proxy may add to requests: those come from its address, and from anybody."""


def serve_metrics(blueprint: Blueprint, settings: Callable[[], Settings]) -> None:
    """Add the view at `/streamy/metrics`. It is there with `STREAMY_METRICS = "prometheus"`, else a 404.

    Who isn't allowed to read them gets a 404, too: the log says why.

    settings: gives those of the manager for the current app.
    """
    tally = Tally()

    @blueprint.get("/metrics")
    def metrics() -> Response:
        current = settings()
        kept = current.metrics
        if not isinstance(kept, Shown):
            abort(404)
        allow = is_local if current.metrics_allow is None else current.metrics_allow
        if not allow(request):
            if count := tally.count("refused"):
                logger.warning(
                    "requests for /streamy/metrics refused: %d since it was last said, one from %s. To allow "
                    'some: STREAMY_METRICS_ALLOW = lambda request: request.remote_addr == "10.0.0.7"',
                    count,
                    request.remote_addr,
                )
            abort(404)
        text, content_type = kept.exposition(request.headers.get("Accept", ""))
        return Response(text, content_type=content_type, headers={"Cache-Control": "no-store"})


def is_local(request: Request) -> bool:
    """Whether a request comes from this very machine, and by no proxy that says so."""
    if any(name in request.headers for name in _OF_PROXIES):
        return False
    try:
        return ip_address(request.remote_addr or "").is_loopback
    except ValueError:  # a Unix socket has no address
        return False
