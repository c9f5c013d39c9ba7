"""Several workers and a script share their streams by Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamy_core.testing.reading import eventually

from ...support.workers import Workers
from ..promises.workers import Connect, WorkersPromises
from .conftest import listening
from .servers import Server

pytestmark = pytest.mark.slow


@pytest.fixture
def server(shared: Callable[[str], Any]) -> Server:
    found: Server = shared("valkey")
    return found


class TestWorkers(WorkersPromises):
    @pytest.fixture
    def workers_url(self, server: Server, prefix: str) -> str:
        return f"{server.url}?prefix={prefix}&client_name={prefix}"

    def test_a_process_has_one_connection_for_bells_however_many_clients_and_streams(
        self, workers: Workers, connect: Connect, server: Server, prefix: str
    ) -> None:
        for pid in workers.pids:
            for n in range(5):
                connect(pid, *[f"news-{n}-{m}" for m in range(10)])

        def all_are_watched() -> bool:
            counts = listening(server, prefix)
            return sum(counts) >= 2 * 50

        eventually(all_are_watched, "all streams watched")
        assert len(listening(server, prefix)) == len(workers.pids)

    def test_a_process_listens_no_more_to_a_stream_that_nobody_reads(
        self, workers: Workers, connect: Connect, server: Server, prefix: str
    ) -> None:
        first, second = workers.pids
        stay, go = connect(first, "stay"), connect(second, *[f"go-{n}" for n in range(10)])
        own = 2 * len(workers.pids)  # each process hears of commands, and of runs, too
        eventually(lambda: sum(listening(server, prefix)) == own + 11, "eleven streams watched")
        go.reset()
        eventually(lambda: sum(listening(server, prefix)) == own + 1, "ten streams watched no more")
        assert not stay.closed_by_server
