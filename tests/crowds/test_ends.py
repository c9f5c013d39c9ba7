"""The end of a stream that a crowd reads. TEST_ENDING_CLIENTS: how many; 5,000 have been tried."""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

import pytest

from streamy_core import END

from ..support.crowd import Crowd, Record
from .conftest import Serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CLIENTS: Final = int(os.environ.get("TEST_ENDING_CLIENTS", "500"))
LONGEST: Final = 60
"""Seconds after the end in which everybody has asked once more."""


def test_after_the_end_clients_come_for_their_204_over_half_a_minute(serving: Serving, stream: str) -> None:
    gunicorn = serving("detached")
    hear = Record()
    with Crowd(gunicorn.address, gunicorn.path(stream), CLIENTS, hear, ends=True) as crowd:
        crowd.run_until_open(60)
        gunicorn.send(stream, "last")
        gunicorn.end(stream)
        crowd.run_until(lambda: len(crowd.gave_up) == CLIENTS, "everybody's 204", LONGEST + 30)
    times = sorted(crowd.gave_up.values())
    assert times[-1] - times[0] >= 30
    busiest = max(Counter(int(at) for at in times).values())
    print(f"{CLIENTS} in {times[-1] - times[0]:.1f} s, {busiest} in the busiest second")
    assert busiest <= 3 * CLIENTS / 55 + 10
    names = {tuple(frame.name for frame in hear.frames[source]) for source in crowd.sources}
    assert names == {("message", END)}
