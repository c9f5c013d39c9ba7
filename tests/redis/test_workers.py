"""Several workers and a script share their streams by Redis."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_core import END, Broker, StreamManager
from streamy_core.testing.reading import DEADLINE, data_of, eventually, read_all

from ..crowds.crowd import Crowd, Frame, Source
from ..crowds.serving import ROOT
from ..servers.clients import RawClient
from .conftest import NewBroker, NewManager
from .servers import Server
from .workers import PACKAGE, Workers

PER_WORKER: Final = 8
EACH: Final = 60
"""Events of every publisher."""


@pytest.fixture
def server(shared: Callable[[str], Any]) -> Server:
    found: Server = shared("valkey")
    return found


@pytest.fixture
def url(server: Server, prefix: str) -> str:
    return f"{server.url}?prefix={prefix}&client_name={prefix}"


@pytest.fixture
def workers(url: str, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path / "log", url)
    yield workers
    workers.stop()
    print(workers.log())


@pytest.fixture
def broker(server: Server, new_broker: NewBroker) -> Broker:
    """The workers' streams, from outside of them."""
    return new_broker(server.url)


@pytest.fixture
def outside(server: Server, new_manager: NewManager) -> StreamManager:
    """A manager in another process than the workers."""
    return new_manager(server.url)


@pytest.fixture
def connect(workers: Workers) -> Iterator[Callable[..., RawClient]]:
    """Connects clients: `connect(pid, *streams, key=…)`."""
    with ExitStack() as to_close:
        yield lambda *which, **how: to_close.enter_context(workers.connect(*which, **how))


def run_script(url: str, stream: str) -> None:
    command = [sys.executable, "-m", f"{PACKAGE}.publish", url, stream, str(EACH)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=2 * DEADLINE)


def publish_everywhere(workers: Workers, url: str, stream: str) -> None:
    """Both workers and a script publish, all at the same time."""
    with ThreadPoolExecutor() as pool:
        script = pool.submit(run_script, url, stream)
        posts = [
            pool.submit(workers.post, who, f"/publish?id={stream}&who={who}&count={EACH}")
            for who in workers.pids
        ]
        for one in (script, *posts):
            one.result()


def test_every_client_of_every_worker_gets_what_workers_and_scripts_publish_once_and_in_order(
    workers: Workers, connect: Callable[..., RawClient], broker: Broker, url: str
) -> None:
    clients = [connect(pid, "news") for pid in workers.pids for _ in range(PER_WORKER)]
    publish_everywhere(workers, url, "news")
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
    workers: Workers, broker: Broker, url: str
) -> None:
    heard: dict[Source, list[str]] = {}

    def hear(source: Source, frame: Frame, at: float) -> None:
        heard.setdefault(source, []).append(frame.data or "")

    with (
        Crowd(workers.address, "/stream?ids=news", 100, hear) as crowd,
        ThreadPoolExecutor(1) as pool,
    ):
        crowd.run_until_open()
        publishing = pool.submit(run_script, url, "news")
        crowd.run_until(publishing.done, "everything published")
        publishing.result()
        crowd.run_until(
            lambda: sum(map(len, heard.values())) >= EACH * len(crowd.sources), "everything heard"
        )
        assert [heard[source] for source in crowd.sources] == [data_of(read_all(broker, "news"))] * 100
        assert {source.connections for source in crowd.sources} == {1}


def test_a_client_that_comes_back_to_another_worker_goes_on_where_it_was(
    workers: Workers, connect: Callable[..., RawClient], outside: StreamManager
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


def listening(server: Server, name: str) -> list[int]:
    """To how many channels each connection of this name listens that listens to any."""
    lines = [line for line in server.client.client_list() if line["name"] == name]
    counts = [int(line["sub"]) + int(line.get("ssub", 0)) for line in lines]
    return [count for count in counts if count]


def test_a_process_has_one_connection_for_bells_however_many_clients_and_streams(
    workers: Workers, connect: Callable[..., RawClient], server: Server, prefix: str
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
    workers: Workers, connect: Callable[..., RawClient], server: Server, prefix: str
) -> None:
    first, second = workers.pids
    stay, go = connect(first, "stay"), connect(second, *[f"go-{n}" for n in range(10)])
    eventually(lambda: sum(listening(server, prefix)) >= 11, "eleven streams watched")
    own = sum(listening(server, prefix)) - 11  # the processes' own, which they always hear
    go.reset()
    eventually(lambda: sum(listening(server, prefix)) == own + 1, "ten streams watched no more")
    assert not stay.closed_by_server


def test_ending_a_stream_in_one_worker_ends_its_clients_in_the_others(
    workers: Workers, connect: Callable[..., RawClient]
) -> None:
    ending, other = workers.pids
    clients = [connect(pid, "news") for pid in (ending, other, other)]
    workers.post(ending, "/publish?id=news&who=last&count=1")
    workers.post(ending, "/end?id=news")
    for client in clients:
        *_, last, end = client.read_to_end()
        assert (last.data, end.name) == ("last 0", END)


def test_who_comes_back_to_another_worker_after_the_end_gets_204(
    workers: Workers, connect: Callable[..., RawClient]
) -> None:
    ending, other = workers.pids
    client = connect(other, "news")
    workers.post(ending, "/end?id=news")
    client.read_to_end()
    for pid in (ending, other):
        assert connect(pid, "news", last_event_id=client.last_event_id).status == 204


def test_clients_are_sent_away_from_outside_by_their_key_on_every_worker(
    workers: Workers, connect: Callable[..., RawClient], outside: StreamManager
) -> None:
    theirs = [connect(pid, f"news-{n}", key="theirs") for pid in workers.pids for n in range(3)]
    others = [connect(pid, "news-0", key="another") for pid in workers.pids]
    outside.disconnect(key="theirs")
    for client in theirs:
        client.read_to_end()
    outside.send_event("news-0", "still here")
    assert [[message.data for message in client.read(1)] for client in others] == [["still here"]] * 2


def test_clients_are_sent_away_from_outside_by_their_stream_on_every_worker(
    workers: Workers, connect: Callable[..., RawClient], outside: StreamManager
) -> None:
    theirs = [connect(pid, "news", "more") for pid in workers.pids]
    others = [connect(pid, "more") for pid in workers.pids]
    outside.disconnect(stream_id="news")
    for client in theirs:
        client.read_to_end()
    outside.send_event("more", "still here")
    assert [[message.data for message in client.read(1)] for client in others] == [["still here"]] * 2
