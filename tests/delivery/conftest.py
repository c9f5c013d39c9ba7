"""The hub's fixtures, for what is delivered of it, and replays that can be held."""

from __future__ import annotations

import threading

import pytest

from streamy_core.engine.byte_reader import ByteReader
from streamy_core.testing.reading import DEADLINE

from ..engine.conftest import broker, hub, make_hub

__all__ = ["broker", "hub", "make_hub"]


class SlowReplay:
    """What replays have read from the log, they give only when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._read = threading.Event()
        self._gate = threading.Event()
        self._catch_up = ByteReader.catch_up
        monkeypatch.setattr(ByteReader, "catch_up", lambda reader: self._slowly(reader))

    def wait_until_read(self) -> None:
        """Until one has read something."""
        assert self._read.wait(DEADLINE)

    def go_on(self) -> None:
        self._gate.set()

    def _slowly(self, reader: ByteReader) -> bytes:
        data = self._catch_up(reader)
        self._read.set()
        self._gate.wait(DEADLINE)
        return data


@pytest.fixture
def slow_replay(monkeypatch: pytest.MonkeyPatch) -> SlowReplay:
    return SlowReplay(monkeypatch)
