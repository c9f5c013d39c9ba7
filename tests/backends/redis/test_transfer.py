"""What goes between broker and server: not much more than is delivered, and many streams at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from streamy_core import OLDEST
from streamy_core.broker import Broker
from streamy_core.testing.reading import DEADLINE, data_of, events, eventually, read, tail

from ..conftest import NewBroker
from .conftest import KINDS, OwnServer
from .proxy import HoldingProxy
from .servers import Server

pytestmark = pytest.mark.slow

BOUND: Final = 256 * 1024
STREAMS: Final = [f"news-{n}" for n in range(100)]


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, own_server: OwnServer) -> Server:
    return own_server(kind=request.param).start()


@pytest.fixture
def broker(server: Server, new_broker: NewBroker) -> Broker:
    return new_broker(server.url)


def sent_by(server: Server) -> int:
    """How many bytes the server has sent, in all."""
    return int(server.client.info("stats")["total_net_output_bytes"])


def replay(broker: Broker, stream_id: str, max_bytes: int) -> list[str]:
    """All data of the stream, read within this bound."""
    found: list[str] = []
    cursor, more = OLDEST, True
    while more:
        page = read(broker, stream_id, cursor, 100, max_bytes)
        found += data_of(page.entries)
        cursor, more = page.cursor, page.more
    return found


def test_a_replay_of_large_entries_transfers_little_more_than_it_delivers(
    server: Server, broker: Broker
) -> None:
    data = [f"{n} " + "x" * 200_000 for n in range(200)]
    for text in data:
        broker.append("news", events(text))
    before = sent_by(server)
    assert replay(broker, "news", BOUND) == data
    assert sent_by(server) - before < 1.1 * sum(map(len, data))


def test_one_reading_of_many_streams_transfers_no_more_than_its_bound(server: Server, broker: Broker) -> None:
    for name in STREAMS:
        broker.append(name, events(*["x" * 1_000] * 30))
    before = sent_by(server)
    pages = broker.read(dict.fromkeys(STREAMS, OLDEST), 100, BOUND)
    assert {len(page.entries) for page in pages.values()} == {2}
    assert sent_by(server) - before < BOUND


@pytest.mark.parametrize("small", [0, 2], ids=["from the first on", "after small ones"])
def test_what_does_not_fit_is_hardly_read_by_the_server_either(
    server: Server, broker: Broker, small: int
) -> None:
    broker.append("news", events(*"x" * small))
    for _ in range(80):
        broker.append("news", events("x" * 200_000))
    read(broker, "news", limit=100)

    def seconds_for(max_bytes: int | None) -> int:
        server.client.config_resetstat()
        for _ in range(5):
            read(broker, "news", limit=100, max_bytes=max_bytes)
        return int(server.client.info("commandstats")["cmdstat_evalsha"]["usec"])

    assert min(seconds_for(BOUND) for _ in range(3)) < min(seconds_for(None) for _ in range(3)) / 4


def test_a_bound_reads_small_entries_as_a_page(broker: Broker) -> None:
    data = [str(n) for n in range(1_000)]
    broker.append("news", events(*data))
    page = read(broker, "news", limit=500, max_bytes=BOUND)
    assert (data_of(page.entries), page.more) == (data[:500], True)
    assert replay(broker, "news", 10) == data


@pytest.mark.parametrize("bound", [1, 999, 1_000, 1_001, 5_000, 20_000, 100_000, None])
def test_a_page_is_what_fits_whatever_the_sizes(broker: Broker, bound: int | None) -> None:
    sizes = [0, 10, 5_000, 0, 1, 1_000, 20_000, 3, 0, 7, 999, 50, 100_000, 0, 2] * 3
    ids = broker.append("news", events(*["x" * size for size in sizes]))
    for first, cursor in enumerate([OLDEST, *ids]):
        left = sizes[first:]
        fitting = [n for n in range(1, len(left) + 1) if n == 1 or bound is None or sum(left[:n]) <= bound]
        page = read(broker, "news", cursor, 40, bound)
        assert [len(text) for text in data_of(page.entries)] == left[: min(len(fitting), 40)]
        assert page.more == (first + len(page.entries) < len(sizes))


@pytest.fixture
def proxy(server: Server) -> Iterator[HoldingProxy]:
    with HoldingProxy(("127.0.0.1", server.port)) as proxy:
        yield proxy


@pytest.fixture
def far(proxy: HoldingProxy, server: Server, broker: Broker, new_broker: NewBroker) -> Broker:
    """A broker beyond the proxy, that has its connections, and whose scripts the server knows.

    Every other stream is there.
    """
    for name in STREAMS[::2]:
        broker.append(name, events("a"))
    far = new_broker(proxy.through(server.url))
    read(far, STREAMS[0])
    return far


def questions(server: Server) -> int:
    """How many commands the server has been asked, but for those that look at it."""
    stats = server.client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "get"))


def test_the_tails_of_many_streams_are_one_round_trip(
    far: Broker, broker: Broker, proxy: HoldingProxy, server: Server
) -> None:
    # (The script gets each stream's state, which is counted, too.)
    assert_one_round_trip(lambda: far.tail(STREAMS), 2 * len(STREAMS) + 1, proxy, server)
    assert dict(far.tail(STREAMS)) == {name: tail(broker, name) for name in STREAMS}


def test_pages_of_many_streams_are_one_round_trip(far: Broker, proxy: HoldingProxy, server: Server) -> None:
    there = dict.fromkeys(STREAMS[::2], OLDEST)
    assert_one_round_trip(lambda: far.read(there, 100, BOUND), 2 * len(there), proxy, server)


def assert_one_round_trip(
    call: Callable[[], object], asked: int, proxy: HoldingProxy, server: Server
) -> None:
    """Fails unless so much is asked before anything is answered, and nothing afterwards."""
    before = questions(server)
    with ThreadPoolExecutor(1) as pool:
        proxy.hold_replies()
        try:
            calling = pool.submit(call)
            eventually(lambda: questions(server) - before == asked, "all questions, without an answer")
            assert not calling.done()
        finally:
            proxy.let_through()
        calling.result(DEADLINE)
    assert questions(server) - before == asked
