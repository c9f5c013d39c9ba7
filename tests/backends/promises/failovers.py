"""Primaries that are killed one after the other, under load: nothing acknowledged is lost without a word."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby, pairwise
from typing import Final, Protocol

import pytest
from flask import Flask

from streamy_core import GAP, EventStreamResponse, StreamManager
from streamy_core.ids import UNPLACEABLE
from streamy_core.strategies import FixedDelay
from streamy_core.testing import EventClient
from streamy_core.testing.reading import DEADLINE, eventually

ROUNDS: Final = int(os.environ.get("TEST_FAILOVERS", "3"))
"""TEST_FAILOVERS=20 asks for more than a run in CI."""
RESUMED_WITHIN: Final = 5.0
LAST: Final = "last"


class Group(Protocol):
    """A primary and its replica.

    url: leads to whichever is the primary, with a history that all of the load goes into.
    """

    @property
    def url(self) -> str: ...

    def fail_over(self) -> None:
        """Kill the primary, have its replica take over, and wait until there is a replica in step again."""


class Load:
    """Publishes numbers from a thread. acknowledged: those that were stored, and when they were."""

    def __init__(self, sse: StreamManager) -> None:
        self.acknowledged: dict[str, float] = {}
        self._sse = sse

    @contextmanager
    def running(self) -> Iterator[None]:
        over = threading.Event()

        def publish() -> None:
            number = 0
            while not over.wait(0.005):
                number += 1
                self._sse.send_event("news", str(number))
                self.acknowledged[str(number)] = time.monotonic()

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(3 * DEADLINE)

    def has(self, count: int) -> bool:
        return len(self.acknowledged) > count

    def longest_silence(self) -> float:
        times = list(self.acknowledged.values())
        return max(later - earlier for earlier, later in pairwise(times))


class Member:
    """Somebody who joins now, and may read only what is published from now on."""

    def __init__(self, sse: StreamManager) -> None:
        newest = sse.history("news", 1)
        self._newest = int(newest.entries[0].event.data) if newest.entries else 0
        app = Flask(__name__)
        sse.init_app(app)

        @app.get("/news")
        def news() -> EventStreamResponse:
            return sse.get_stream("news", after=newest.cursor, floor=newest.cursor)

        self._client = EventClient(app)

    def reads_nothing_from_before(self) -> None:
        for cursor in (None, UNPLACEABLE):
            with self._client.open("/news", last_event_id=cursor) as stream:
                came = [event.data for event in stream.events(10, timeout=30) if event.type == "message"]
            assert min(map(int, came)) > self._newest, f"{came} came after {cursor}"


class FailoverPromises:
    """A subclass has a fixture `group`."""

    @pytest.mark.timeout(60 + 40 * ROUNDS)
    def test_what_was_acknowledged_arrives_or_is_told_as_a_gap(self, group: Group) -> None:
        received: list[str] = []
        with StreamManager(broker=group.url, retry=FixedDelay(0.05, retries=1_000)) as sse:
            load = Load(sse)
            with sse.subscribe("news") as subscription:

                def receive() -> None:
                    while (entry := subscription.next(3 * DEADLINE)) and entry.event.data != LAST:
                        received.append(GAP if entry.event.name == GAP else entry.event.data)

                reader = threading.Thread(target=receive)
                reader.start()
                with load.running():
                    member = Member(sse)
                    for _ in range(ROUNDS):
                        count = len(load.acknowledged) + 50
                        eventually(partial(load.has, count), "some load", within=30)
                        group.fail_over()
                        member.reads_nothing_from_before()
                sse.send_event("news", LAST)
                reader.join(3 * DEADLINE)
        missing = load.acknowledged.keys() - set(received)
        assert not missing or GAP in received, (
            f"{len(missing)} were lost without a word: {sorted(missing)[:5]}"
        )
        for is_gap, between in groupby(received, lambda text: text == GAP):
            numbers = list(between)
            assert is_gap or len(numbers) == len(set(numbers)), "nothing twice, but behind a gap"
        silence = load.longest_silence()
        assert silence < RESUMED_WITHIN, f"{silence:.1f} s"
        print(f"{len(missing)} of {len(load.acknowledged)} were told as gaps; {silence:.1f} s")
