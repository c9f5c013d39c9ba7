"""The app of the page's tests, and a page for each client of others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from flask import Flask, redirect, request, send_from_directory

import streamy_core.engine.frames as frames

from ..app import create_app as create_shop

HERE: Final = Path(__file__).parent
PACKAGES: Final = HERE.parent / "node" / "node_modules"

PAGE: Final = """<!doctype html><meta charset="utf-8"><title>A client</title><ul id="list"></ul>
<script>
  const show = (data) => document.getElementById("list").insertAdjacentHTML("beforeend", `<li>${data}</li>`);
</script>
"""


def create_app() -> Flask:
    app = create_shop()
    # The time after which those who have seen the end ask once more: 5 to 60 seconds are long for a test.
    frames._AFTER_THE_END = (500, 1_000)  # type: ignore[misc]

    @app.get("/client/<name>")
    def client(name: str) -> str:
        """The client's page, told to read this stream."""
        text = (HERE / "pages" / f"{name}.html").read_text("utf-8")
        return PAGE + re.sub(r"/events\b(?=[\"'])", f"/events?ids={request.args['ids']}", text)

    @app.get("/npm/<path:path>")
    def package(path: str) -> object:
        # Some packages import their own modules by less than their names, as bundlers allow.
        for found in (f"{path}.js", f"{path}/index.js"):
            if not (PACKAGES / path).is_file() and (PACKAGES / found).is_file():
                return redirect(f"/npm/{found}")
        return send_from_directory(PACKAGES, path)

    return app
