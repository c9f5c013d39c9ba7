"""A file system with room for little, in namespaces of its own, which takes no rights to make.

`python -m tests.backends.sql.small_disk FOLDER` fills the disk at FOLDER with a SQLite file, and tells what
happened.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from streamy_backends.sql import from_url
from streamy_core import OLDEST, PublishFailed, StreamManager
from streamy_core.strategies import NoRetry
from streamy_core.testing.reading import DEADLINE, read_all, wait_for_bell

BATCH: Final = 5
FAILURES: Final = 4
"""So often it is tried in vain."""
REFILLED: Final = 3
"""So many batches come when there is room again."""

_BYTES: Final = 2_000
_ATTEMPTS: Final = 2_000


@dataclass
class Full:
    """What came of publishing to a disk until it was full, and when it had room again.

    acknowledged: the ids that `send_events` returned, batch by batch.
    failures:     what was raised while it was full, with its cause.
    acknowledged_before: how many batches were, before there was room again.
    while_full:   the ids that were read when it was full.
    seen_by_newcomer: likewise, by a broker that was made then.
    log:          the ids of the stream in the end.
    followed:     the ids that a subscriber got.
    hub_failures: how often its hub failed to read.
    """

    acknowledged: list[list[str]] = field(default_factory=list)
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    acknowledged_before: int = 0
    while_full: list[str] = field(default_factory=list)
    seen_by_newcomer: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    followed: list[str] = field(default_factory=list)
    hub_failures: int = 0


def on_disk(folder: Path, *command: str, size: str) -> list[str]:
    """The command, run where a small disk is mounted at this folder."""
    mount = f'mount -t tmpfs -o size={size},mode=777 tmpfs {folder} && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", *command]


def fill_up(folder: Path) -> Path:
    """Take what room is left. Returns the file that does."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (65_536, 4_096):
            while _takes(file, size):
                pass
    return filler


def fill_and_empty(url: str, folder: Path) -> Full:
    """Publish to this database until its disk, at this folder, is full, and after that."""
    found = Full()
    with ExitStack() as to_close:
        publishing, reading = [
            to_close.enter_context(
                StreamManager(
                    broker=to_close.enter_context(from_url(url, {"history": 100_000})), retry=NoRetry()
                )
            )
            for _ in range(2)
        ]
        watch = to_close.enter_context(_closing(reading.broker.watch()))
        watch.add("news")
        pool = to_close.enter_context(ThreadPoolExecutor(1))
        subscription = to_close.enter_context(reading.subscribe("news", OLDEST))
        following = pool.submit(list, subscription)

        def publish() -> bool:
            texts = [secrets.token_urlsafe(_BYTES) for _ in range(BATCH)]
            try:
                found.acknowledged.append(publishing.send_events("news", texts))
            except PublishFailed as failed:
                cause = failed.__cause__
                found.failures.append((type(failed).__name__, type(cause).__name__, str(cause)))
                return False
            return True

        publish()
        wait_for_bell(watch, "news")
        filler = fill_up(folder)
        for _ in range(_ATTEMPTS):
            publish()
            if len(found.failures) == FAILURES:
                break
        watch.wait(0)
        found.while_full = [entry.id for entry in read_all(reading.broker, "news")]
        assert watch.wait(0.1) is not None
        with from_url(url, {"history": 100_000}) as newcomer:
            found.seen_by_newcomer = [entry.id for entry in read_all(newcomer, "news")]
        found.acknowledged_before = len(found.acknowledged)
        filler.unlink()
        for _ in range(REFILLED):
            publish()
        wait_for_bell(watch, "news")
        publishing.end_stream("news")
        found.followed = [entry.id for entry in following.result(DEADLINE)]
        found.hub_failures = reading.health.failures
        found.log = [entry.id for entry in read_all(reading.broker, "news")]
    return found


def _takes(file: Any, size: int) -> bool:
    try:
        return bool(os.write(file.fileno(), bytes(size)))
    except OSError:
        return False


@contextmanager
def _closing(watch: Any) -> Iterator[Any]:
    try:
        yield watch
    finally:
        watch.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    print(json.dumps(asdict(fill_and_empty(f"sqlite:///{folder}/streams.db", folder))))
