"""The app of `tests.support.app` with routes of its own, and gunicorn that serves it for one test.

The routes are served by a second manager, `stage`, whose broker is the first one's.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, jsonify, request
from flask.signals import appcontext_popped, appcontext_pushed

from streamy_core import StreamManager
from streamy_core.signals import client_connected, client_disconnected
from streamy_core.testing.reading import eventually

from ..support.app import create_app as create_plain_app
from ..support.app import manager_of
from ..support.app_server import AppServer
from ..support.web_server import Pair

PER_KEY: Final = 2
RECONNECT_DELAY: Final = 3.0
"""Seconds; the jitter is half of it either way."""


def create_app() -> Flask:
    """The app: see the module."""
    app = create_plain_app()
    broker = manager_of(app).broker
    sse = StreamManager(app, name="stage", broker=broker, max_connections_per_key=PER_KEY)
    counts: Counter[str] = Counter()
    told: list[dict[str, Any]] = []

    def record(what: str) -> Any:
        def recorded(_: StreamManager, **news: Any) -> None:
            told.append({**news, "signal": what, "streams": list(news["streams"])})

        return recorded

    for happened in (client_connected, client_disconnected):
        happened.connect(record(happened.name), weak=False)

    def count(what: str) -> Any:
        def counted(*_: Any, **__: Any) -> None:
            counts[what] += 1

        return counted

    appcontext_pushed.connect(count("pushed"), app, weak=False)
    appcontext_popped.connect(count("popped"), app, weak=False)

    @app.teardown_request
    def torn_down(error: BaseException | None) -> None:
        counts[f"teardown {request.path}"] += 1

    @app.after_request
    def decorate(response: Response) -> Response:
        response.headers["X-App"] = "stage"
        response.headers["Access-Control-Allow-Origin"] = "https://example.org"
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.set_cookie("first", "1", httponly=True)
        response.set_cookie("second", "2", samesite="Lax")
        return response

    @app.route("/open/<path:name>", methods=["GET", "POST"])
    def open_stream(name: str) -> Response:
        return sse.get_stream(name, key=request.args.get("key"))

    @app.get("/counts")
    def show_counts() -> Response:
        return jsonify(counts)

    @app.get("/told/<path:name>")
    def show_told(name: str) -> Response:
        """The signals about clients of this stream."""
        return jsonify([news for news in told if name in news["streams"]])

    @app.get("/pid")
    def pid() -> str:
        return str(os.getpid())

    return app


class Gunicorn(AppServer):
    """The app under a server of its own, by gunicorn with these options. It is started when it is made."""

    def __init__(
        self,
        pair: Pair,
        log: Path,
        *options: str,
        certificate: Path | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(
            log,
            pair,
            app=f"{__name__}:create_app()",
            options=("--graceful-timeout", "30", "--access-logfile", "-", *options),
            certificate=certificate,
            settings={"STREAMY_RECONNECT_DELAY": RECONNECT_DELAY, **(settings or {})},
        )
        self.start()

    def counts(self) -> Counter[str]:
        """What /counts says: app contexts pushed and popped, and teardowns by path."""
        return Counter(json.loads(self.ask("/counts")))

    def told(self, stream: str) -> list[dict[str, Any]]:
        """The signals about clients of this stream so far."""
        signals: list[dict[str, Any]] = json.loads(self.ask(f"/told/{stream}"))
        return signals

    def delivery(self, stream: str) -> list[str]:
        """How the clients of this stream that have connected are served."""
        return [news["delivery"] for news in self.told(stream) if news["signal"] == client_connected.name]

    def hears_of_parting(self, stream: str, reason: str, count: int = 1) -> None:
        """Wait until so many clients of this stream have been told to have gone for this reason."""

        def has_heard() -> bool:
            return [news.get("reason") for news in self.told(stream)].count(reason) >= count

        eventually(has_heard, f"{count} clients {reason}")

    def worker(self) -> int:
        """The worker's process id."""
        return int(self.ask("/pid"))
