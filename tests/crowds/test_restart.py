"""What a restart costs a crowd: nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from ..support import ROOT
from ..support.crowd import Crowd, Source
from ..support.event_stream import Frame
from .conftest import Gunicorn, Serving

pytestmark = pytest.mark.slow

CLIENTS: Final = 2_000
RATE: Final = 20
"""Events a second."""
BETWEEN: Final = 20
"""How many events everybody gets before, and again after, what happens to the server."""


def count(source: Source, frame: Frame, at: float) -> None:
    """Fail unless the source hears 1, 2, 3, …: no gap, no other order, nothing twice."""
    assert (frame.name, frame.data) == ("message", str(source.next_number))
    source.next_number += 1


@contextmanager
def publishing(file: Path, stream: str) -> Iterator[subprocess.Popen[str]]:
    """A process that publishes numbers all the time."""
    command = [sys.executable, "-m", f"{__package__}.publish", str(file), stream, str(RATE)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def restart(gunicorn: Gunicorn, crowd: Crowd) -> None:
    gunicorn.signal(signal.SIGTERM)
    crowd.run_until(lambda: not gunicorn.running, "the end of the old gunicorn")
    gunicorn.launch()


def reload(gunicorn: Gunicorn, crowd: Crowd) -> None:
    gunicorn.signal(signal.SIGHUP)


@pytest.mark.parametrize("happen", [restart, reload])
def test_two_thousand_clients_come_back_by_themselves_and_miss_and_repeat_nothing(
    serving: Serving, stream: str, tmp_path: Path, happen: Callable[[Gunicorn, Crowd], None]
) -> None:
    file = tmp_path / "broker"
    gunicorn = serving("detached", BROKER_FILE=file, STREAMY_RECONNECT_DELAY=0.5)
    with Crowd(gunicorn.address, gunicorn.path(stream), CLIENTS, count) as crowd:

        def slowest() -> int:
            return min(source.next_number for source in crowd.sources) - 1

        crowd.run_until_open()
        with publishing(file, stream) as publisher:
            crowd.run_until(lambda: slowest() >= BETWEEN, "events before")
            happen(gunicorn, crowd)
            crowd.run_until(
                lambda: all(source.connections >= 2 and source.open for source in crowd.sources),
                "everybody back",
            )
            heard = max(source.next_number for source in crowd.sources)
            crowd.run_until(lambda: slowest() >= heard + BETWEEN, "events after it")
            last = int(publisher.communicate(timeout=10)[0])
        crowd.run_until(lambda: slowest() >= last, "the last event at everybody's")
        assert {source.next_number - 1 for source in crowd.sources} == {last}


@pytest.fixture
def goodbyes(serving: Serving, stream: str) -> list[float | None]:
    """What a crowd is told by a server that is told to end."""
    gunicorn = serving("detached", STREAMY_RECONNECT_DELAY=0.5)
    with Crowd(gunicorn.address, gunicorn.path(stream), 500, count) as crowd:
        crowd.run_until_open()
        gunicorn.signal(signal.SIGTERM)
        crowd.run_until(lambda: all(source.goodbyes for source in crowd.sources), "everybody sent away")
        return [source.goodbyes[0] for source in crowd.sources]


def test_a_server_that_ends_tears_off_no_response(goodbyes: list[float | None]) -> None:
    assert None not in goodbyes


def test_a_server_that_ends_does_not_have_everybody_come_back_at_once(goodbyes: list[float | None]) -> None:
    tenths = Counter(round(goodbye or 0, 1) for goodbye in goodbyes)
    assert max(tenths.values()) < len(goodbyes) / 2
