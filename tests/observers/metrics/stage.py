"""An app whose metrics go to a registry of their own, on a server in this process: either delivery."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from flask import Response
from prometheus_client import CollectorRegistry
from werkzeug.serving import WSGIRequestHandler, make_server

from streamy_backends.memory import Limits
from streamy_core import OLDEST, StreamManager
from streamy_core.closeable import Closeable
from streamy_core.observers.metrics.prometheus import PrometheusInstruments
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import eventually

from ...engine.doubles import FaultyBroker
from ...support.app import create_app, manager_of
from ...support.raw_client import RawClient


class Quiet(WSGIRequestHandler):
    """Logs no requests."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class Stage(Closeable):
    """See the module. settings: of the app, by the names of its keys without `STREAMY_`, in lower case."""

    def __init__(self, delivery: str, broker: FaultyBroker | None = None, **settings: Any) -> None:
        self.delivery = delivery
        self.broker = broker or FaultyBroker(Limits(history=5))
        self.registry = CollectorRegistry()
        given = {
            "broker_url": self.broker,
            "metrics": PrometheusInstruments(self.registry),
            "delivery": delivery,
            "keep_alive": 0.1,
            "retry_policy": FixedDelay(0.01, retries=1),
            **settings,
        }
        self.app = create_app(**{f"STREAMY_{name.upper()}": value for name, value in given.items()})
        self.sse: StreamManager = manager_of(self.app)

        @self.app.get("/from-the-start")
        def from_the_start() -> Response:
            return self.sse.get_stream("news:1", after=OLDEST)

        self._server = make_server("127.0.0.1", 0, self.app, threaded=True, request_handler=Quiet)
        self._server.daemon_threads = True
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def open(self, *streams: str, path: str = "/stream", **how: Any) -> RawClient:
        """A client of these streams that has the head of its response."""
        query = urlencode({"ids": ",".join(streams), **how.pop("query", {})})
        client = RawClient(("127.0.0.1", self.port), f"{path}?{query}", **how)
        client.read_head()
        return client

    def read(self, *streams: str, **how: Any) -> RawClient:
        """A client of these streams that has the first frame."""
        client = self.open(*streams, **how)
        client.read_opening()
        return client

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, {"manager": "default", **labels}) or 0.0

    @contextmanager
    def moves(self, name: str, by: float = 1.0, **labels: str) -> Iterator[None]:
        """Fail unless what is done meanwhile moves the metric by so much, sooner or later."""
        before = self.value(name, **labels)
        yield
        try:
            eventually(lambda: self.value(name, **labels) - before == by, f"{name} moves by {by}")
        except AssertionError as error:
            error.add_note(f"it was {before}, and is {self.value(name, **labels)}: {labels}")
            raise

    def close(self) -> None:
        """End the server, and the manager."""
        self.sse.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
