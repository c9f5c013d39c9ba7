"""The stream of a run, for pages that read by streamy.js: to follow, and to stop."""

from flask import Blueprint, Response

from streamy_core import BEGINNING, StreamManager


def run_views(sse: StreamManager, kind: str) -> Blueprint:
    """kind: how the names of its runs' streams begin, before a colon."""
    views = Blueprint("run", __name__)

    @views.get("/<name>")
    def follow(name: str) -> Response:
        return sse.get_stream(f"{kind}:{name}", after=BEGINNING)

    @views.delete("/<name>")
    def stop(name: str) -> tuple[str, int]:
        sse.stop_run(f"{kind}:{name}")
        return "", 202

    return views
