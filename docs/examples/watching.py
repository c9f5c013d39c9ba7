"""An app that shows how Streamy is doing, and notes who comes and goes."""

import logging
from dataclasses import asdict
from typing import Any

from flask import Flask

from streamy_core import StreamManager
from streamy_core.signals import client_connected, client_disconnected, gap, slow_client

app = Flask(__name__)
sse = StreamManager(app)

log = logging.getLogger("shop.streams")


@app.get("/health")
def health() -> tuple[dict[str, Any], int]:
    seen = sse.health
    return asdict(seen), 503 if seen.failing else 200


@client_connected.connect_via(sse)
def connected(sender: StreamManager, *, key: str | None, delivery: str, **more: Any) -> None:
    log.info("%s connected (%s)", key, delivery)


@client_disconnected.connect_via(sse)
def disconnected(sender: StreamManager, *, key: str | None, reason: str, **more: Any) -> None:
    log.info("%s disconnected: %s", key, reason)


@gap.connect_via(sse)
def lost(sender: StreamManager, *, stream_id: str, cursor: str, cause: str, **news: Any) -> None:
    log.error("entries of %s after %s are lost: %s", stream_id, cursor, cause)


@slow_client.connect_via(sse)
def slow(sender: StreamManager, *, key: str | None, lag: Any, **more: Any) -> None:
    log.warning("%s can't keep up: %s", key, lag)
