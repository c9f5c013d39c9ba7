"""The servers, each with the deliveries that it allows, and what tests need of them."""

from __future__ import annotations

from typing import Final

from ...support.web_server import Pair

KEEP_ALIVE: Final = 0.1
"""The app's own interval, in seconds: soon enough for a gone client to be noticed within a test."""
RECONNECT_DELAY: Final = 0.1

PAIRS: Final = (
    Pair("werkzeug", "wsgi"),
    Pair("werkzeug", "detached"),
    Pair("gthread", "wsgi"),
    Pair("gevent", "wsgi"),
    Pair("waitress", "wsgi"),
    Pair("sync", "wsgi", threads=1, alone="its only worker is busy with the stream: nobody can publish"),
    Pair("gthread", "detached"),
    Pair("sync", "detached", threads=1),
)
"""All that is tested. A test takes `server` if every pair can do it, else one of the fixtures below it."""

LIVE: Final = tuple(pair for pair in PAIRS if not pair.alone)
GTHREAD: Final = tuple(pair for pair in PAIRS if pair.server == "gthread")
POLLING: Final = (
    Pair("sync", "wsgi", threads=1, polls=True),
    Pair("gthread", "wsgi", polls=True),
    Pair("waitress", "wsgi", polls=True),
)
