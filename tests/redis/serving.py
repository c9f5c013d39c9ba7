"""gunicorn with an app that reads from Redis, and what its clients get."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from ..support.app_server import AppServer
from ..support.crowd import Source
from ..support.event_stream import Frame


class Worker(AppServer):
    """One worker of the app. url: the broker's."""

    def __init__(self, log: Path, url: str) -> None:
        retry = "tests.support.app:SOON"
        super().__init__(log, settings={"STREAMY_BROKER_URL": url, "STREAMY_RETRY_POLICY": retry})
        self.start()


class Received(NamedTuple):
    """An event as a client got it."""

    id: str
    name: str
    data: str


class Recorder:
    """Keeps what every source of a crowd has received. It is the crowd's `heard`."""

    def __init__(self) -> None:
        self.received: defaultdict[Source, list[Received]] = defaultdict(list)

    def __call__(self, source: Source, frame: Frame, at: float) -> None:
        assert frame.id is not None
        assert frame.data is not None
        self.received[source].append(Received(frame.id, frame.name, frame.data))
