"""Servers, and brokers on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Server
from streamy_nats import from_url

from streamy_core.testing import FromUrl, MakeBroker

NewServer = Callable[..., Server]


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of all tests that need none of their own."""
    # The contract has an event of a mebibyte, and a server takes no more than that of its own accord.
    server = Server(tmp_path_factory.mktemp("nats"), "max_payload: 8MB")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[NewServer]:
    """Starts servers of the test's own, with these settings; stopped in the end."""
    made: list[Server] = []

    def start(*settings: str) -> Server:
        folder = tmp_path / f"server-{len(made)}"
        folder.mkdir()
        made.append(Server(folder, *settings))
        made[-1].start()
        return made[-1]

    yield start
    for server in made:
        server.stop()


@pytest.fixture
def own_server(new_server: NewServer) -> Server:
    return new_server()


@pytest.fixture
def make_broker(shared_server: Server, tmp_path: Path) -> MakeBroker:
    """Makes brokers on logs of the test's own."""
    return FromUrl(shared_server.url, from_url, prefix=f"{tmp_path.name}-{{log}}")
