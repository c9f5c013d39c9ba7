"""10,000 clients whose rights are looked at again by one query each time: `python -m tests.bench.rechecks`.

A look's cost is what many of them cost in a row, less what the clients cost without any.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from .fanout import report
from .load import Crowd
from .processes import Server, serving
from .processes import prepare as prepare_bench
from .rechecks_app import USERS

EVERY: Final = 15.0
"""Seconds: the setting's own."""
OFTEN: Final = 1.5
NEVER: Final = 3_600.0
SECONDS: Final = 15.0
PATHS: Final = [f"/stream?key=user:{number}" for number in range(USERS)]


@contextmanager
def server(every: float) -> Iterator[Server]:
    with TemporaryDirectory() as folder:
        environment = {"EVERY": str(every), "RIGHTS": f"{folder}/rights.db"}
        module = f"{__package__}.rechecks_app"
        subprocess.run([sys.executable, "-m", module], env={**os.environ, **environment}, check=True)
        with serving("rechecks_app", Path(folder), environment) as gunicorn:
            yield gunicorn


def cost(every: float) -> tuple[float, list[int]]:
    """Seconds of the processor in `SECONDS`, and of how many was asked by each call meanwhile."""
    with server(every) as running, Crowd(running.port, PATHS, hosts=4):
        time.sleep(2 * OFTEN)  # all that their coming has brought
        asked, before = len(json.loads(running.ask("/calls"))), running.cpu()
        time.sleep(SECONDS)
        spent = running.cpu() - before
        return spent, json.loads(running.ask("/calls"))[asked:]


def main() -> None:
    prepare_bench()
    idle, none = cost(NEVER)
    spent, calls = cost(OFTEN)
    assert not none
    assert calls, "nobody was asked about"
    assert set(calls) == {USERS}, f"by one call each time, and not {calls}"
    look = (spent - idle) / len(calls)
    report(f"{USERS:,} clients looked at again, CPU", f"{look * 1_000:.0f} ms a time")
    report(f"  every {EVERY:.0f} s", f"{look / EVERY:.2%} of a core", "< 3 %")


if __name__ == "__main__":
    main()
