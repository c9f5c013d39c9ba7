"""The view that shows metrics to whoever scrapes them, where they are kept for that."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from flask import Blueprint, Response, abort, request

from ..admission import may_be_told
from ..config import Settings
from ..kinds import LOOPBACK
from ..observers.metrics import Shown
from ..tally import Tally

logger: Final = logging.getLogger("streamy.manager")


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
        allow = current.metrics_allow or LOOPBACK
        if not may_be_told(allow, request, "STREAMY_METRICS_ALLOW"):
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
