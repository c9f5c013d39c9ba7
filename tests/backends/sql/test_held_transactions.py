"""Transactions that stay open for long, beside others that don't: `TEST_HELD` says for how many seconds."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

import pytest
from sqlalchemy import Engine

from streamy_core import StreamManager
from streamy_core.engine.subscription import Subscription
from streamy_core.events import MAX_STREAMS

from ..conftest import NewManager
from .conftest import NewEngine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(110)]

HELD_FOR: Final = float(os.environ.get("TEST_HELD", "3"))
HELD: Final = 40
STREAMS: Final = [f"stream-{number}" for number in range(10 * HELD)]
"""To a tenth of them one event each is published by a transaction that stays open."""
PLAIN: Final = ["first", "second"]
EXPECTED: Final = {name: PLAIN if index >= HELD else ["held"] for index, name in enumerate(STREAMS)}
WITHIN: Final = 10.0


@pytest.fixture(params=["postgresql", "postgresql, without its bell", "mariadb"])
def url(request: pytest.FixtureRequest, url_of: Callable[[str], str]) -> str:
    """SQLite has one writer at a time: a transaction that stays open holds up all others."""
    kind, _, silent = request.param.partition(", ")
    url = url_of(kind)
    return f"{url}{'&' if '?' in url else '?'}notify=false" if silent else url


def test_all_is_heard_once_and_in_order_though_a_tenth_of_the_transactions_is_held_open(
    url: str, new_manager: NewManager, new_engine: NewEngine
) -> None:
    publishing, reading = new_manager(url), new_manager(url)
    engine = new_engine(url.partition("?")[0], pool_size=HELD)
    with ExitStack() as to_close:
        parts = [STREAMS[first : first + MAX_STREAMS] for first in range(0, len(STREAMS), MAX_STREAMS)]
        subscriptions = [to_close.enter_context(reading.subscribe(part)) for part in parts]
        pool = to_close.enter_context(ThreadPoolExecutor(HELD + len(parts)))
        following = [
            pool.submit(_read, each, sum(len(EXPECTED[name]) for name in part))
            for each, part in zip(subscriptions, parts, strict=True)
        ]
        all_open = threading.Barrier(HELD + 1)
        open_ones = [pool.submit(_hold, publishing, engine, name, all_open) for name in STREAMS[:HELD]]
        all_open.wait(WITHIN)
        for text in PLAIN:
            for name in STREAMS[HELD:]:
                publishing.send_event(name, text)
        for each in open_ones:
            each.result()
        found = {name: texts for each in following for name, texts in each.result().items()}
    assert found == EXPECTED


def _hold(sse: StreamManager, engine: Engine, name: str, all_open: threading.Barrier) -> None:
    with engine.begin() as connection:
        sse.send_event(name, "held", session=connection)
        all_open.wait(WITHIN)
        time.sleep(HELD_FOR)


def _read(subscription: Subscription, count: int) -> dict[str, list[str]]:
    """What comes of each stream, until so much has come, or nothing for too long."""
    found: dict[str, list[str]] = {}
    while count and (entry := subscription.next(HELD_FOR + WITHIN)) is not None:
        found.setdefault(entry.stream_id, []).append(entry.event.data)
        count -= 1
    return found
