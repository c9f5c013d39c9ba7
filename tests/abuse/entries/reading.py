"""A manager that reads a hundred streams, and what each of them has said."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest
from flask import Flask, Response

from streamy_core import GAP, OLDEST, Entry, StreamManager, Subscription
from streamy_core.testing import EventClient, EventStream

BAD: Final = "bad"
OTHERS: Final = [f"good-{n}" for n in range(99)]
AT_ONCE: Final = 1.0
"""Seconds within which the events of the other streams come."""


def publish_to_others(sse: StreamManager, data: str = "x") -> None:
    for name in OTHERS:
        sse.send_event(name, data)


def assert_others_come(others: Subscription) -> None:
    """The event that was published to each of them just now, within a second."""
    came: Counter[str] = Counter()
    end = time.monotonic() + AT_ONCE
    while len(came) < len(OTHERS):
        entry = others.next(max(0.0, end - time.monotonic()))
        assert entry is not None, f"{len(OTHERS) - len(came)} streams have said nothing for {AT_ONCE:g} s"
        came[entry.stream_id] += 1
    assert came == Counter(OTHERS)


def said(subscription: Subscription, number: int) -> list[str]:
    """What the next so many entries say; a gap says its name."""
    return [GAP if entry.event.name == GAP else entry.event.data for entry in taken(subscription, number)]


def taken(subscription: Subscription, number: int) -> list[Entry]:
    found = []
    for _ in range(number):
        entry = subscription.next(AT_ONCE)
        assert entry is not None, f"nothing has come for {AT_ONCE:g} s, after {found}"
        found.append(entry)
    return found


def errors_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What has been logged as an error."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def connect(sse: StreamManager, names: str | list[str], *, after: str | None = None) -> EventStream:
    """A new client of an app. Fails unless it is answered by an event stream."""
    app = Flask(__name__)
    sse.init_app(app)

    @app.get("/events")
    def events() -> Response:
        return sse.get_stream(names, after=after)

    return EventClient(app).open("/events")


def assert_one_gap_among(client: EventStream, sse: StreamManager) -> None:
    """End the stream; fail unless the client gets "before", "a" and "b", one gap, and the end."""
    sse.end_stream(BAD)
    events = client.read_to_end()
    assert [event.data for event in events if event.type == "message"] == ["before", "a", "b"]
    assert [event.type for event in events if event.type != "message"] == [GAP, "streamy.end"]


def begin(sse: StreamManager) -> StreamManager:
    """Publish "before" to every stream."""
    sse.send_event(BAD, "before")
    publish_to_others(sse, "before")
    return sse


def damage(sse: StreamManager, write: Callable[[], str], caplog: pytest.LogCaptureFixture) -> tuple[str, str]:
    """Have others write an entry between "a" and "b"; its id, and what is logged of it.

    Fails unless it is one gap, to readers and to new clients, and holds no other stream up.
    """
    with sse.subscribe(BAD) as bad, sse.subscribe(OTHERS) as others:
        sse.send_event(BAD, "a")
        assert said(bad, 1) == ["a"]
        damaged = write()
        publish_to_others(sse)
        assert_others_come(others)
        sse.send_event(BAD, "b")
        assert said(bad, 2) == [GAP, "b"]
        (error,) = errors_of(caplog)
        assert (sse.health.damaged, sse.health.failures) == (1, 0)
    with connect(sse, BAD, after=OLDEST) as client:
        assert_one_gap_among(client, sse)
    return damaged, error
