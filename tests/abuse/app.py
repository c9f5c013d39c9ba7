"""The app under test, with more views: one that looks at a right, takes its time, and only then streams; and
one that takes every descriptor.

A right is taken away by a file that all workers see, in the folder that `RIGHTS` names.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from flask import Flask, Response, abort, request

from streamy_core.strategies import Disconnect

from ..support.app import create_app as create_plain_app
from ..support.app import manager_of

STRICT: Final = Disconnect(seconds=5.0)


def create_app() -> Flask:
    app = create_plain_app()
    sse = manager_of(app)
    rights = Path(os.environ.get("RIGHTS", ""))

    @app.get("/watch/<key>")
    def watch(key: str) -> Response:
        if (rights / key).exists():
            abort(403)
        time.sleep(float(request.args["pause"]))
        return sse.get_stream("news", key=key)

    @app.post("/revoke/<key>")
    def revoke(key: str) -> str:
        (rights / key).touch()
        sse.disconnect(key=key)
        return "revoked"

    @app.post("/exhaust/<float:seconds>")
    def exhaust(seconds: float) -> str:
        """Take every descriptor that is left, for so long."""
        taken: list[int] = []
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        threading.Timer(seconds, lambda: [os.close(one) for one in taken]).start()
        return "exhausted"

    return app
