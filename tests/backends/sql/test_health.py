"""What `/ready` says of a database, without a client."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from streamy_core import StreamManager
from streamy_core.testing.reading import eventually

from ...support import ROOT
from .conftest import KINDS
from .small_disk import on_disk

pytestmark = pytest.mark.slow


def test_a_full_disk_is_told_within_five_seconds_and_so_is_that_there_is_room_again(tmp_path: Path) -> None:
    command = on_disk(tmp_path, sys.executable, "-m", f"{__package__}.full_health", str(tmp_path), size="2m")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    told = json.loads(done.stdout)
    assert told.pop("took") < 5.0
    assert told == {"before": [], "full": ["broker"], "live": 200, "after": []}


@pytest.mark.parametrize("kind", KINDS)
def test_an_idle_worker_is_ready_and_stays_so(kind: str, url_of: Callable[[str], str], prefix: str) -> None:
    app = Flask(__name__)
    with StreamManager(
        app, broker=url_of(kind), broker_options={"table_prefix": prefix}, canary_interval=0.1
    ) as sse:
        app.register_blueprint(sse.blueprint)
        client = app.test_client()
        eventually(lambda: client.get("/streamy/ready").status_code == 200, "it is ready")
        canary = sse.binding.engine.canary
        until = canary._number + 8
        while canary._number < until:
            assert client.get("/streamy/ready").get_json() == {"ready": True, "wrong": []}
        assert sse.health.bell_seconds is not None
        assert sse.health.bell_seconds < sse.broker.rings_within
