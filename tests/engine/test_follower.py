"""Who follows a stream of Streamy's own isn't disturbed by a broker that is closed meanwhile."""

from __future__ import annotations

import pytest

from streamy_core import Closed, StreamManager
from streamy_core.engine.follower import Follower
from streamy_core.engine.reader import Reader
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import DEADLINE

from .doubles import FaultyBroker


def test_a_broker_that_is_closed_while_it_is_read_raises_nothing_in_the_thread_that_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = FaultyBroker()
    with StreamManager(broker=broker) as sse:
        hub = sse.binding.engine.hub
        follower = Follower(hub, "streamy.test", lambda frame, live: None, FixedDelay(0.01), name="test")
        assert follower.wait(DEADLINE)
        assert follower._reader is not None
        reader = follower._reader
        broker.close()
        reader.lagging = ["streamy.test"]
        with pytest.raises(Closed):
            reader.read_lagging()
        reader.lagging = ["streamy.test"]
        monkeypatch.setattr(Reader, "due", lambda self: [])  # as where the window doesn't hold its place
        follower._follow()
        follower.close()
