"""The app of `tests.support.app` with a policy for slow clients that tells when it was asked last.

CLOSES_AFTER is how many seconds a client may take nothing, or SKIPS_BEYOND by how many entries it may be
behind before it skips to the latest. BROKER_FILE is the file of a broker that survives this process; without
it, it is memory.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, jsonify

from streamy_core.strategies.slow_clients import Disconnect, Lag, SkipToLatest, SlowClientPolicy, Verdict

from ..support.app import create_app as create_plain_app
from ..support.file_broker import FileBroker

SLOW_CLIENT_POLICY: Final = "STREAMY_SLOW_CLIENT_POLICY"


class Noting:
    """A policy that notes when it was asked last: somebody was behind then."""

    def __init__(self, policy: SlowClientPolicy) -> None:
        self._policy = policy
        self._asked_at = float("-inf")

    def decide(self, lag: Lag) -> Verdict:
        self._asked_at = time.monotonic()
        return self._policy.decide(lag)

    @property
    def asked(self) -> bool:
        """Whether it was asked lately; it is, once a second, while somebody is behind."""
        return time.monotonic() - self._asked_at < 1.5


def create_app() -> Flask:
    """The app: see the module."""
    policy = Noting(_policy())
    settings: dict[str, Any] = {SLOW_CLIENT_POLICY: policy}
    if file := os.environ.get("BROKER_FILE"):
        settings["STREAMY_BROKER_URL"] = FileBroker(Path(file))
    app = create_plain_app(**settings)

    @app.get("/behind")
    def behind() -> Response:
        """Whether a client is behind."""
        return jsonify(policy.asked)

    return app


def _policy() -> SlowClientPolicy:
    if entries := os.environ.get("SKIPS_BEYOND"):
        return SkipToLatest(entries=int(entries))
    return Disconnect(seconds=float(os.environ.get("CLOSES_AFTER", "20")))
