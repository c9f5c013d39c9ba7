"""What is answered when something is missing, or can't be meant; and that no password is ever shown."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest

from streamy_backends.redis import from_url
from streamy_backends.redis.checks import check_server
from streamy_core import BrokerUnavailable, ConfigError
from streamy_core.plugins import open_broker
from streamy_core.testing.reading import DEADLINE, events

from ..conftest import NewBroker
from .conftest import SECRET, OwnServer, address, publishes
from .servers import Cluster, SentinelGroup, Server

pytestmark = pytest.mark.slow

UNSHOWN: Final = [
    "redis://user:hunter2@host:many/0",
    "redis://user:hunter2@h1,h2",
    "redis://user:hunter2@host/first",
    "redis://user:hunter2@host?histroy=5",
    "redis://host:many?password=hunter2",
    "redis+sentinel://user:hunter2@host",
    "redis+sentinel://host?sentinel_password=hunter2",
    "redis+cluster://user:hunter2@host/3",
    "unix://user:hunter2@host",
    "redis://user:hunter2@[::1/0",
    "redis://user:hun/hunter2@host",
    "redis://user:hun?hunter2@host",
    "redis://user:hun?x=hunter2@host",
    "redis://user:hunter2#x@host",
    "redis://user:hunter2/x@host",
    "redis://user:hunter2?x@host",
    "redis://host?prefix=&password=hunter2",
]


@pytest.mark.parametrize("url", UNSHOWN)
def test_no_refusal_shows_a_password(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        from_url(url, {})
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("form", ["redis://user:hunter2@{}", "redis://{}?username=user&password=hunter2"])
def test_a_login_that_is_refused_is_told_without_the_password(server: Server, form: str) -> None:
    url = form.format(address(server))
    with pytest.raises(ConfigError, match=rf"{address(server)}.* refuses the login") as refusal:
        from_url(url, {})
    assert "hunter2" not in str(refusal.value)


def test_a_login_that_is_missing_is_told(own_server: OwnServer) -> None:
    server = own_server().start()
    server.client.config_set("requirepass", SECRET)
    with pytest.raises(ConfigError, match=r"refuses the login: .*required"):
        from_url(f"redis://{address(server)}", {})


def test_a_login_that_a_cluster_refuses_is_told_without_the_password(cluster: Cluster) -> None:
    with pytest.raises(ConfigError, match="refuses the login") as refusal:
        from_url(cluster.url.replace("://", "://user:hunter2@"), {})
    assert "hunter2" not in str(refusal.value)


def test_a_login_that_sentinels_refuse_is_told_without_the_password(sentinel: SentinelGroup) -> None:
    with pytest.raises(ConfigError, match=r"refuse the login|refuses the login") as refusal:
        from_url(f"{sentinel.url}?sentinel_username=user&sentinel_password=hunter2", {})
    assert "hunter2" not in str(refusal.value)


def test_what_can_not_be_reached_is_logged_without_the_password(
    own_server: OwnServer, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        from_url(f"redis://user:hunter2@{address(own_server())}/0?password=hunter2", {}) as broker,
        pytest.raises(BrokerUnavailable) as fault,
    ):
        broker.append("news", events("hello"))
    assert "can't be reached now" in caplog.text
    assert "hunter2" not in caplog.text + str(fault.value)


@pytest.mark.parametrize("version", ["6.0", "6.0.16", "5.0.7", "2.8"])
def test_a_server_that_is_too_old_is_told(version: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"redis://host is Redis {re.escape(version)}, and 6\.2 or newer is needed"
    ):
        check_server({"redis_version": version, "redis_mode": "standalone"}, "redis://host", clustered=False)


@pytest.mark.parametrize(
    "info",
    [
        {"redis_version": "6.2.14"},
        {"redis_version": "10.0"},
        {"redis_version": "5.0", "valkey_version": "8.0"},
    ],
)
def test_a_server_that_is_new_enough_is_welcome(info: dict[str, str]) -> None:
    check_server(info, "redis://host", clustered=False)


@pytest.mark.parametrize("kind", ["cluster", "old cluster"])
def test_a_cluster_that_is_taken_for_one_server_is_told(shared: Callable[[str], Any], kind: str) -> None:
    with pytest.raises(ConfigError, match=r"is a node of a cluster: its URL begins with redis\+cluster://"):
        from_url(shared(kind).nodes[0].url, {})


def test_one_server_that_is_taken_for_a_cluster_is_told(server: Server) -> None:
    with pytest.raises(ConfigError, match=r"(?i)no cluster|cluster mode is not enabled|not .*a cluster"):
        from_url(f"redis+cluster://{address(server)}", {})


def test_a_sentinel_that_is_taken_for_a_server_is_told(sentinel: SentinelGroup) -> None:
    with pytest.raises(ConfigError, match=r"is a sentinel: its URL begins with redis\+sentinel://"):
        from_url(sentinel.sentinel.url, {})


def test_a_database_that_is_not_there_is_told(server: Server) -> None:
    with pytest.raises(ConfigError, match=r"(?i)db|database"):
        from_url(f"redis://{address(server)}/99", {})


@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_server_that_is_away_at_start_may_come_later(
    own_server: OwnServer, new_broker: NewBroker, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    server = own_server(kind=kind)
    broker = new_broker(server.url)
    caplog.set_level(logging.INFO, "streamy.redis")
    (record,) = [record for record in caplog.records if "can't be reached now" in record.getMessage()]
    assert (record.name, record.levelno) == ("streamy.redis", logging.WARNING)
    assert server.url in record.getMessage()
    server.start()
    assert publishes(broker)
    last = caplog.records[-1]
    assert (last.name, last.levelno) == ("streamy.redis", logging.INFO)
    assert last.getMessage() == f"{server.url} can be reached"


def test_what_a_server_that_comes_later_lacks_is_told_when_it_is_used(
    own_server: OwnServer, new_broker: NewBroker
) -> None:
    server = own_server("cluster-enabled yes", kind="redis")
    broker = new_broker(server.url)
    server.start()
    with pytest.raises(ConfigError, match="is a node of a cluster"):
        broker.append("news", events("hello"))


def test_a_cluster_that_is_away_at_start_is_no_error_but_logged(
    own_server: OwnServer, new_broker: NewBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker = new_broker(f"redis+cluster://{address(own_server())}")
    assert "can't be reached now" in caplog.text
    with pytest.raises(BrokerUnavailable):
        broker.append("news", events("hello"))


def test_a_socket_that_is_not_there_yet_may_come_later(
    own_server: OwnServer, new_broker: NewBroker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("s") / "redis.sock"
    broker = new_broker(f"unix://{path}")
    own_server(f"unixsocket {path}").start()
    assert publishes(broker)


WITHOUT_DRIVER: Final = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "redis":
            raise ModuleNotFoundError("No module named 'redis'", name="redis")

sys.meta_path.insert(0, Missing())
"""


def run_without_driver(code: str) -> str:
    """What this code prints in a process that has no redis-py."""
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_DRIVER + code], capture_output=True, text=True, timeout=3 * DEADLINE
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "redis+sentinel", "redis+cluster"])
def test_without_the_driver_it_is_named_with_the_line_that_installs_it(scheme: str) -> None:
    said = run_without_driver(f"""
from streamy_core import BackendUnusable
from streamy_core.plugins import open_broker
try:
    open_broker("{scheme}://user:hunter2@host")
except BackendUnusable as error:
    print(error)
""")
    assert re.search(r"needs a driver .*'redis'; pip install 'streamy-sse\[redis\]'", said), said
    assert "hunter2" not in said


def test_without_the_driver_other_backends_work() -> None:
    assert run_without_driver("""
from streamy_core import Event
from streamy_core.plugins import open_broker
with open_broker("memory://") as broker:
    print(len(broker.append("news", [Event("hello")])))
""") == "1\n"  # fmt: skip


def test_it_is_opened_by_its_url_like_any_other_backend(server: Server, prefix: str) -> None:
    with open_broker(f"{server.url}?prefix={prefix}") as broker:
        assert publishes(broker)
