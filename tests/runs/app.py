"""The app of the tests, with runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any, Final

from flask import Flask, Response, request

from streamy_core import OLDEST

from ..support.app import create_app as create_plain_app
from ..support.app import manager_of

PAGE: Final = """
<p id="text"></p>
<p id="end"></p>
<script type="module">
  import { connect } from "/streamy/streamy.js";
  const text = document.getElementById("text");
  connect("/run/%s", {
    on: { message: (_, event) => { text.textContent += event.raw; } },
    gap: () => { text.textContent += "GAP"; },
    end: ({ outcome }) => { document.getElementById("end").textContent = outcome; },
  });
</script>
"""


def create_app(**settings: Any) -> Flask:
    """The app: a run of `/run/NAME` yields as many numbers as are asked for, so many seconds apart."""
    app = create_plain_app(**settings)
    sse = manager_of(app)
    app.register_blueprint(sse.blueprint, url_prefix="/streamy")

    def numbers(count: int, pause: float) -> Iterator[str]:
        for number in range(count):
            yield f"{number} "
            time.sleep(pause)

    @app.post("/run/<name>")
    def start(name: str) -> str:
        items = numbers(request.args.get("count", 10, int), request.args.get("pause", 0.0, float))
        coalesce, lease = request.args.get("coalesce", type=float), request.args.get("lease", 10.0, float)
        resume = (lambda stream_id: f"{stream_id}-rest") if "rest" in request.args else None
        sse.start_run(name, items, coalesce=coalesce, lease=lease, resume=resume)
        return str(os.getpid())

    @app.get("/run/<name>")
    def follow(name: str) -> Response:
        return sse.get_stream(name, after=OLDEST)

    @app.get("/page/<name>")
    def page(name: str) -> str:
        return PAGE % name

    @app.post("/run/<name>/stop")
    def stop(name: str) -> str:
        sse.stop_run(name)
        return ""

    return app
