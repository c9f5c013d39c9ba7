"""What several workers and a script that share their streams keep. Subclassed for each backend."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from streamy_core import END, StreamManager
from streamy_core.broker import Broker
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import DEADLINE, data_of, read_all

from ...support import ROOT
from ...support.crowd import Crowd, Record
from ...support.raw_client import RawClient
from ...support.workers import Workers

PER_WORKER: Final = 8
EACH: Final = 60
"""Events of every publisher."""

Connect = Callable[..., RawClient]


def run_script(url: str, stream: str, count: int = EACH) -> None:
    """A script outside of Flask publishes so many events, and has ended."""
    command = [sys.executable, "-m", f"{__package__}.publish", url, stream, str(count)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=2 * DEADLINE)


def publish_everywhere(workers: Workers, url: str, stream: str) -> None:
    """Both workers and a script publish, all at the same time."""
    with ThreadPoolExecutor() as pool:
        script = pool.submit(run_script, url, stream)
        posts = [
            pool.submit(workers.send_by, who, stream, *[f"{who} {number}" for number in range(EACH)])
            for who in workers.pids
        ]
        for one in (script, *posts):
            one.result()


class WorkersPromises:
    """What holds on every backend that processes share."""

    @pytest.fixture
    def workers_url(self) -> str:
        """To be given by the subclass: the URL of a broker with logs of the test's own."""
        raise NotImplementedError("define the fixture workers_url: the URL of a broker for the workers")

    @pytest.fixture
    def workers(self, workers_url: str, tmp_path: Path) -> Iterator[Workers]:
        with Workers(tmp_path / "log", workers_url).start() as workers:
            yield workers

    @pytest.fixture
    def outside(self, workers_url: str) -> Iterator[StreamManager]:
        """A manager in another process than the workers."""
        with StreamManager(broker=workers_url, retry=FixedDelay(0.05, retries=150)) as sse:
            yield sse

    @pytest.fixture
    def broker(self, outside: StreamManager) -> Broker:
        """The workers' streams, from outside of them."""
        return outside.broker

    @pytest.fixture
    def connect(self, workers: Workers) -> Iterator[Connect]:
        """Connects clients: `connect(pid, *streams, key=…)`."""
        with ExitStack() as to_close:
            yield lambda *which, **how: to_close.enter_context(workers.client_of(*which, **how))

    def test_every_client_of_every_worker_gets_what_workers_and_scripts_publish_once_and_in_order(
        self, workers: Workers, connect: Connect, broker: Broker, workers_url: str
    ) -> None:
        clients = [connect(pid, "news") for pid in workers.pids for _ in range(PER_WORKER)]
        publish_everywhere(workers, workers_url, "news")
        log = [(entry.id, entry.event.data) for entry in read_all(broker, "news")]
        for who in ("script", *workers.pids):
            mine = [data for _, data in log if data.startswith(f"{who} ")]
            assert mine == [f"{who} {number}" for number in range(EACH)]
        broker.end("news")
        for client in clients:
            *got, end = [(message.id, message.data) for message in client.read_to_end()]
            assert got == log
            assert end[0] not in dict(log)

    def test_a_crowd_that_any_worker_serves_gets_everything_once_and_in_order(
        self, workers: Workers, broker: Broker, workers_url: str
    ) -> None:
        record = Record()
        with (
            Crowd(workers.address, workers.path("news"), 100, record) as crowd,
            ThreadPoolExecutor(1) as pool,
        ):
            crowd.run_until_open()
            publishing = pool.submit(run_script, workers_url, "news")
            crowd.run_until(publishing.done, "everything published")
            publishing.result()
            crowd.run_until(
                lambda: sum(map(len, record.frames.values())) >= EACH * len(crowd.sources), "everything heard"
            )
            log = data_of(read_all(broker, "news"))
            assert [record.data(source) for source in crowd.sources] == [log] * len(crowd.sources)
            assert {source.connections for source in crowd.sources} == {1}

    def test_a_client_that_comes_back_to_another_worker_goes_on_where_it_was(
        self, workers: Workers, connect: Connect, outside: StreamManager
    ) -> None:
        first, second = workers.pids
        client = connect(first, "news", "other")
        outside.send_event("news", "a")
        outside.send_event("other", "b")
        client.read(2)
        client.reset()
        outside.send_event("other", "c")
        outside.send_event("news", "d")
        again = connect(second, "news", "other", last_event_id=client.last_event_id)
        assert sorted(message.data for message in again.read(2)) == ["c", "d"]
        outside.send_event("news", "e")
        assert [message.data for message in again.read(3)][2:] == ["e"]

    def test_ending_a_stream_in_one_worker_ends_its_clients_in_the_others(
        self, workers: Workers, connect: Connect
    ) -> None:
        ending, other = workers.pids
        clients = [connect(pid, "news") for pid in (ending, other, other)]
        workers.send_by(ending, "news", "last")
        workers.end_by(ending, "news")
        for client in clients:
            *_, last, end = client.read_to_end()
            assert (last.data, end.name) == ("last", END)

    def test_who_comes_back_to_another_worker_after_the_end_gets_204(
        self, workers: Workers, connect: Connect
    ) -> None:
        ending, other = workers.pids
        client = connect(other, "news")
        workers.end_by(ending, "news")
        client.read_to_end()
        for pid in (ending, other):
            assert connect(pid, "news", last_event_id=client.last_event_id).status == 204

    def test_clients_are_sent_away_from_outside_by_their_key_on_every_worker(
        self, workers: Workers, connect: Connect, outside: StreamManager
    ) -> None:
        theirs = [connect(pid, f"news-{n}", key="theirs") for pid in workers.pids for n in range(3)]
        others = [connect(pid, "news-0", key="another") for pid in workers.pids]
        outside.disconnect(key="theirs")
        for client in theirs:
            client.read_to_end()
        outside.send_event("news-0", "still here")
        assert [[message.data for message in client.read(1)] for client in others] == [["still here"]] * 2

    def test_clients_are_sent_away_from_outside_by_their_stream_on_every_worker(
        self, workers: Workers, connect: Connect, outside: StreamManager
    ) -> None:
        theirs = [connect(pid, "news", "more") for pid in workers.pids]
        others = [connect(pid, "more") for pid in workers.pids]
        outside.disconnect(stream_id="news")
        for client in theirs:
            client.read_to_end()
        outside.send_event("more", "still here")
        assert [[message.data for message in client.read(1)] for client in others] == [["still here"]] * 2
