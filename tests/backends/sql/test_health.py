"""What `/ready` says of a database, without a client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ...support import ROOT
from .small_disk import on_disk

pytestmark = pytest.mark.slow


def test_a_full_disk_is_told_within_five_seconds_and_so_is_that_there_is_room_again(tmp_path: Path) -> None:
    command = on_disk(tmp_path, sys.executable, "-m", f"{__package__}.full_health", str(tmp_path), size="2m")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    told = json.loads(done.stdout)
    assert told.pop("took") < 5.0
    assert told == {"before": [], "full": ["broker"], "live": 200, "after": []}
