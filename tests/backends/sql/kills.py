"""Processes that are killed in the midst of publishing, and what came of it."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from streamy_core import Entry, StreamManager
from streamy_core.testing.reading import DEADLINE, read_all

from ...support import ROOT
from .publish import command

VICTIMS: Final = 5
OF_A_VICTIM: Final = 30
"""So many events it has acknowledged, at least, when it is killed."""


@dataclass
class Crash:
    """What came of publishing to one SQLite file while some of the processes were killed.

    acknowledged: name of a process -> the ids it had printed when it ended.
    log:          the stream in the end.
    followed:     what another process got of it meanwhile.
    """

    acknowledged: dict[str, list[str]]
    log: list[Entry]
    followed: list[Entry]


def kill_publishers(url: str) -> Crash:
    """Have processes publish while this one reads, and kill one after the other, but for a survivor."""
    acknowledged: dict[str, list[str]] = {}
    with ExitStack() as to_close:

        def publisher(name: str, count: int) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                command(url, "news", name, count), cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            to_close.enter_context(process)
            to_close.callback(process.kill)
            return process

        reading = to_close.enter_context(StreamManager(broker=url))
        pool = to_close.enter_context(ThreadPoolExecutor(1))
        subscription = to_close.enter_context(reading.subscribe("news"))
        following = pool.submit(list, subscription)
        survivor = publisher("survivor", 100_000)
        assert survivor.stdout is not None
        ids = [survivor.stdout.readline().strip()]
        for number in range(VICTIMS):
            victim = publisher(f"victim-{number}", 100_000)
            assert victim.stdout is not None
            printed = [victim.stdout.readline().strip() for _ in range(OF_A_VICTIM + number)]
            victim.kill()
            acknowledged[f"victim-{number}"] = printed + victim.stdout.read().split()
            ids.append(survivor.stdout.readline().strip())
        acknowledged["survivor"] = ids
        # It goes on, also when nobody else writes any more.
        ids += [survivor.stdout.readline().strip() for _ in range(100)]
        survivor.terminate()
        ids += survivor.stdout.read().split()
        reading.end_stream("news")
        return Crash(acknowledged, read_all(reading.broker, "news"), following.result(DEADLINE))
