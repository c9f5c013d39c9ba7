"""`send_soon` while somebody else holds a SQLite file, or a row of a database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from streamy_core.testing.reading import data_of, eventually, read_all

from ..conftest import NewManager

pytestmark = pytest.mark.slow


def test_nobody_is_held_while_a_file_is_locked_and_all_is_stored_when_it_is_not(
    url_of: Callable[[str], str], new_manager: NewManager
) -> None:
    url = url_of("sqlite")
    sse = new_manager(url, timeout=0.2)
    sse.send_event("news", "first")
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.perf_counter()
        for number in range(200):
            sse.send_soon("news", number)
        assert time.perf_counter() - began < 200 * 0.005
        eventually(lambda: sse.health.queued == 200, "events that wait")
        other.rollback()
    eventually(lambda: sse.health.queued == 0, "an empty queue")
    stored = data_of(read_all(sse.broker, "news"))
    assert stored == ["first", *map(str, range(200))]
