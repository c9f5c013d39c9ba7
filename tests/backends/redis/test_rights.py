"""Users who may not do all that is needed: told at start, and to whoever publishes once a right is taken."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import pytest

from streamy_backends.redis import from_url
from streamy_core import ConfigError
from streamy_core.broker import Broker, ListsStreams
from streamy_core.strategies import FixedDelay
from streamy_core.testing.reading import data_of, events, eventually, read_all

from ..conftest import NewBroker, NewManager
from .conftest import ALL_KINDS, OwnServer
from .servers import Server

pytestmark = pytest.mark.slow

ALL: Final = ("resetkeys", "~*", "resetchannels", "&*", "+@all")
LACKING: Final = {
    "keys": ("resetkeys", "~other:*"),
    "channels": ("resetchannels",),
    "other channels": ("resetchannels", "&other:*"),
    "publish": ("-publish",),
    "subscribe": ("-subscribe",),
    "unsubscribe": ("-unsubscribe",),
    "scripts": ("-@scripting",),
    "writing": ("-@write",),
    "a command of the log": ("-xadd",),
    "a command that trims": ("-xtrim",),
    "reading the log": ("-xrange",),
    "reading": ("-mget",),
    "the clock": ("-time",),
}


@pytest.fixture(params=ALL_KINDS)
def server(request: pytest.FixtureRequest, own_server: OwnServer) -> Server:
    return own_server(kind=request.param).start()


@pytest.fixture
def set_rights(server: Server) -> Callable[..., None]:
    """Give the user `app` all rights but for these changes."""

    def change(*changes: str) -> None:
        server.client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">secret", *ALL, *changes)

    return change


@pytest.fixture
def url(server: Server) -> str:
    return server.url.replace("//", "//app:secret@")


@pytest.mark.parametrize("lacking", LACKING)
def test_a_right_that_is_missing_at_start_is_told(
    set_rights: Callable[..., None], url: str, lacking: str
) -> None:
    set_rights(*LACKING[lacking])
    with pytest.raises(ConfigError, match=r"the user needs more rights: `ACL SETUSER"):
        from_url(url, {})


@pytest.mark.parametrize("command", ["PUBLISH", "XADD", "EVALSHA"])
def test_a_command_that_the_server_does_not_have_is_told_at_start(
    own_server: OwnServer, command: str
) -> None:
    server = own_server(f'rename-command {command} ""').start()
    with pytest.raises(ConfigError, match=r"rename-command|needs more rights"):
        from_url(server.url, {})


def test_a_trial_at_start_leaves_nothing(server: Server, new_broker: NewBroker) -> None:
    with new_broker(server.url) as broker:
        assert isinstance(broker, ListsStreams)
        assert list(broker.streams()) == []
        assert server.client.keys() == []


@pytest.fixture
def broker(set_rights: Callable[..., None], url: str, new_broker: NewBroker) -> Broker:
    set_rights()
    return new_broker(url)


@pytest.fixture
def count_entries(server: Server, broker: Broker) -> Callable[[], int]:
    def count() -> int:
        return sum(server.client.xlen(key) for key in server.client.keys("*:log"))

    return count


@pytest.mark.parametrize("lacking", ["channels", "other channels", "publish"])
def test_what_nobody_could_hear_of_is_refused_and_not_stored(
    broker: Broker, set_rights: Callable[..., None], count_entries: Callable[[], int], lacking: str
) -> None:
    broker.append("news", events("a"))
    set_rights(*LACKING[lacking])
    for _ in range(2):
        with pytest.raises(ConfigError, match="needs more rights"):
            broker.append("news", events("b"), idempotency_key="b")
        with pytest.raises(ConfigError, match="needs more rights"):
            broker.end("news")
    assert count_entries() == 1
    set_rights()
    broker.append("news", events("b"), idempotency_key="b")
    broker.append("news", events("b"), idempotency_key="b")
    assert data_of(read_all(broker, "news")) == ["a", "b"]
    broker.end("news")


@pytest.mark.parametrize("lacking", ["writing", "a command of the log", "scripts", "keys"])
def test_who_may_not_write_any_more_is_told_what_is_missing(
    broker: Broker, set_rights: Callable[..., None], lacking: str
) -> None:
    broker.append("news", events("a"))
    set_rights(*LACKING[lacking])
    with pytest.raises(ConfigError, match="needs more rights"):
        broker.append("news", events("b"))
    set_rights()
    broker.append("news", events("c"))
    assert data_of(read_all(broker, "news")) == ["a", "c"]


@pytest.mark.parametrize("lacking", ["channels", "publish"])
def test_a_process_that_only_reads_says_so_when_it_may_hear_nothing_any_more(
    set_rights: Callable[..., None],
    url: str,
    new_manager: NewManager,
    caplog: pytest.LogCaptureFixture,
    lacking: str,
) -> None:
    set_rights()
    sse = new_manager(url, retry=FixedDelay(0.05, retries=400))
    with sse.subscribe("news") as subscription:
        eventually(lambda: sse.health.streams == 1, "a stream that is watched")
        set_rights(*LACKING[lacking])
        eventually(lambda: sse.health.failing, "health that says so")
        eventually(lambda: sse.health.failures > 10, "several tries")
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == 1, [record.getMessage() for record in errors]
        assert "needs more rights" in errors[0].getMessage()
        set_rights()
        eventually(lambda: not sse.health.failing, "health that is well again")
        sse.send_event("news", "a")
        assert next(iter(subscription)).event.data == "a"
