"""Publishes "NAME 0", "NAME 1" … and prints their ids.

`python -m tests.backends.sql.publish URL STREAM NAME COUNT`
"""

from __future__ import annotations

import subprocess
import sys

from streamy_core import StreamManager
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import DEADLINE

from ...support import ROOT


def command(url: str, stream: str, name: str, count: int) -> list[str]:
    """What does that."""
    return [sys.executable, "-m", f"{__package__}.publish", url, stream, name, str(count)]


def run_script(url: str, stream: str, count: int) -> None:
    """Have another process publish "script 0", "script 1" …, and wait until it has ended."""
    subprocess.run(
        command(url, stream, "script", count),
        cwd=ROOT,
        check=True,
        timeout=2 * DEADLINE,
        stdout=subprocess.DEVNULL,
    )


def main(url: str, stream: str, name: str, count: str) -> None:
    with StreamManager(broker=url, retry=FixedDelay(0.05, retries=100)) as sse:
        for number in range(int(count)):
            print(sse.send_event(stream, f"{name} {number}"), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
