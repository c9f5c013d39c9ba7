"""What a URL and options may say, and that it is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

from streamy_backends.redis import from_url
from streamy_backends.redis.options import Options, parse
from streamy_core import ConfigError
from streamy_core.testing.reading import DEADLINE, data_of, events, read_all

from ...support.certificates import make_certificate
from ..conftest import NewBroker
from ..promises.options import assert_no_time, each_wrong_time
from .conftest import SECRET, OwnServer, address, publishes
from .servers import Cluster, SentinelGroup, Server, TlsFront


def test_a_server_is_found_by_host_and_port(server: Server, new_broker: NewBroker, prefix: str) -> None:
    assert publishes(new_broker(f"redis://{address(server)}"))
    assert server.client.exists(f"{prefix}:{{news}}:state")


@pytest.mark.parametrize("form", ["redis://{}/3", "redis://{}?db=3", "redis://{}/1?db=3"])
def test_a_database_is_chosen_by_the_path_or_the_query_and_the_query_wins(
    server: Server, new_broker: NewBroker, prefix: str, form: str
) -> None:
    new_broker(form.format(address(server))).append("news", events("hello"))
    assert "db=3" in databases_of(server, prefix)


def databases_of(server: Server, prefix: str) -> list[str]:
    """The databases of a server in which there is something under this prefix."""
    found = []
    for db in range(16):
        with redis.Redis(port=server.port, db=db) as one:
            if any(one.scan_iter(f"{prefix}:*", 1_000)):
                found.append(f"db={db}")
    return found


def test_streams_of_two_databases_are_not_the_same(server: Server, new_broker: NewBroker) -> None:
    first, second = (new_broker(f"redis://{address(server)}/{db}") for db in (1, 2))
    first.append("news", events("first"))
    second.append("news", events("second"))
    assert data_of(read_all(first, "news")) == ["first"]
    assert data_of(read_all(second, "news")) == ["second"]


@pytest.fixture
def unix_server(own_server: OwnServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Server, Path]:
    """A server, and its socket; in a folder with a short name, since a socket's path can't be long."""
    path = tmp_path_factory.mktemp("s") / "a b.sock"
    return own_server(f'unixsocket "{path}"').start(), path


def test_a_server_is_found_by_its_unix_socket(
    unix_server: tuple[Server, Path], new_broker: NewBroker, prefix: str
) -> None:
    server, path = unix_server
    assert publishes(new_broker(f"unix://{quote(str(path))}?db=2&client_name={prefix}"))
    assert databases_of(server, prefix) == ["db=2"]
    with redis.Redis.from_url(server.url) as asking:
        # As text: not every redis-py can read the address of a socket.
        asking.set_response_callback("CLIENT LIST", lambda found, **_: found.decode())
        ways = [line for line in asking.client_list().splitlines() if f"name={prefix} " in line]
    assert ways
    assert all(str(path) in way for way in ways), "it didn't come by the socket"


@pytest.mark.parametrize(("path", "db"), [("", "db=0"), ("/2", "db=2")])
def test_a_primary_is_found_by_its_sentinel(
    sentinel: SentinelGroup, new_broker: NewBroker, prefix: str, path: str, db: str
) -> None:
    assert publishes(new_broker(sentinel.url + path))
    assert databases_of(sentinel.primary, prefix) == [db]


def test_a_sentinel_that_is_away_is_made_up_for_by_the_next(
    sentinel: SentinelGroup, own_server: OwnServer, new_broker: NewBroker
) -> None:
    hosts = f"{address(own_server())},{address(sentinel.sentinel)}"
    assert publishes(new_broker(f"redis+sentinel://{hosts}/{sentinel.SERVICE}"))


def test_sentinels_have_a_login_of_their_own(
    sentinel: SentinelGroup, new_broker: NewBroker, prefix: str
) -> None:
    asked = sentinel.sentinel.client
    asked.execute_command("ACL", "SETUSER", prefix, "on", f">{SECRET}", "+@all")
    before = len(asked.execute_command("ACL", "LOG"))
    query = f"sentinel_username={prefix}&sentinel_password={quote(SECRET, safe='')}"
    assert publishes(new_broker(f"{sentinel.url}?{query}"))
    assert len(asked.execute_command("ACL", "LOG")) == before
    assert f"user={prefix} " in asked.execute_command("CLIENT", "LIST").decode()


@pytest.mark.parametrize("kind", ["cluster", "old cluster"])
def test_a_cluster_is_found_by_any_of_its_nodes(
    shared: Callable[[str], Any], own_server: OwnServer, new_broker: NewBroker, kind: str
) -> None:
    hosts = f"{address(own_server())},{address(shared(kind).nodes[1])}"
    broker = new_broker(f"redis+cluster://{hosts}/0")
    names = [f"news-{n}" for n in range(20)]
    for name in names:
        broker.append(name, events(name))
    assert [data_of(read_all(broker, name)) for name in names] == [[name] for name in names]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return make_certificate(tmp_path)


@pytest.fixture
def tls(server: Server, certificate: Path) -> Iterator[TlsFront]:
    front = TlsFront(server, certificate)
    yield front
    front.stop()


def test_a_server_is_spoken_to_by_tls(tls: TlsFront, certificate: Path, new_broker: NewBroker) -> None:
    with new_broker(f"rediss://localhost:{tls.port}/0?ssl_ca_certs={quote(str(certificate))}") as broker:
        assert publishes(broker)
        assert tls.handshakes


def test_bells_come_by_tls(tls: TlsFront, certificate: Path, new_broker: NewBroker) -> None:
    with new_broker(f"rediss://localhost:{tls.port}/0", ssl_ca_certs=str(certificate)) as broker:
        before = tls.handshakes
        watch = broker.watch()
        assert tls.handshakes == before + 1
        watch.add("news")
        broker.append("news", events("hello"))
        assert set(watch.wait(DEADLINE)) == {"news"}


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tls: TlsFront, new_broker: NewBroker) -> None:
    with pytest.raises(ConfigError, match=r"(?i)certificate verify failed.*give ssl_ca_certs"):
        new_broker(f"rediss://localhost:{tls.port}/0")


def test_a_certificate_for_another_host_is_not_trusted_unless_allowed(
    tls: TlsFront, certificate: Path, new_broker: NewBroker
) -> None:
    url = f"rediss://127.0.0.1:{tls.port}/0?ssl_ca_certs={quote(str(certificate))}"
    with pytest.raises(ConfigError, match=r"(?i)certificate is not valid.*name the host as that does"):
        new_broker(url)
    with new_broker(f"{url}&ssl_check_hostname=false") as broker:
        assert publishes(broker)


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "CERT_NONE", "cert_none"])
def test_whether_a_certificate_is_checked_is_spelt_as_one_likes(
    tls: TlsFront, new_broker: NewBroker, spelling: str
) -> None:
    with new_broker(f"rediss://127.0.0.1:{tls.port}/0?ssl_cert_reqs={spelling}") as broker:
        assert publishes(broker)


@pytest.mark.parametrize("spelling", ["false", "0", "optionally", "CERT"])
def test_another_word_for_it_is_refused(spelling: str) -> None:
    with pytest.raises(ConfigError, match="'ssl_cert_reqs' has to be one of none, optional, required"):
        from_url(f"rediss://host/0?ssl_cert_reqs={spelling}", {})


@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path"])
def test_a_certificate_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{name}' has to be the path of a \w+ that is there"):
        from_url(f"rediss://host/0?{name}=/nonexistent", {})


def test_a_server_without_tls_is_told(server: Server) -> None:
    with pytest.raises(ConfigError, match=r"doesn't speak TLS on this port: its URL begins with redis, not"):
        from_url(server.url.replace("redis://", "rediss://"), {"timeout": 0.5})


def test_a_server_with_tls_is_told(tls: TlsFront) -> None:
    with pytest.raises(ConfigError, match=r"speaks TLS on this port: its URL begins with rediss, not"):
        from_url(f"redis://localhost:{tls.port}", {"timeout": 0.5})


@pytest.fixture
def user(server: Server, prefix: str) -> Iterator[str]:
    """A user who may do everything, and whose password is SECRET."""
    name = f"{prefix}@ü:/%"
    server.client.execute_command("ACL", "SETUSER", name, "on", f">{SECRET}", "~*", "&*", "+@all")
    yield name
    server.client.execute_command("ACL", "DELUSER", name)


def as_user(server: Server, user: str, password: str = SECRET) -> str:
    return f"redis://{quote(user, safe='')}:{quote(password, safe='')}@{address(server)}/0"


def users_of(server: Server, client_name: str) -> set[str]:
    return {line["user"] for line in server.client.client_list() if line["name"] == client_name}


def test_a_login_stands_in_the_url_and_is_percent_encoded(
    server: Server, user: str, new_broker: NewBroker, prefix: str
) -> None:
    broker = new_broker(as_user(server, user), client_name=prefix)
    assert publishes(broker)
    broker.watch()
    assert users_of(server, prefix) == {user}


def test_a_login_may_be_an_option_and_the_option_wins(
    server: Server, user: str, new_broker: NewBroker, prefix: str
) -> None:
    url = as_user(server, "nobody", "nothing")
    assert publishes(new_broker(url, username=user, password=SECRET, client_name=prefix))
    assert users_of(server, prefix) == {user}


def test_a_password_may_stand_without_a_user(own_server: OwnServer, new_broker: NewBroker) -> None:
    server = own_server().start()
    server.client.config_set("requirepass", SECRET)
    assert publishes(new_broker(f"redis://:{quote(SECRET, safe='')}@{address(server)}/0"))


def test_a_login_holds_for_every_node_of_a_cluster(
    cluster: Cluster, new_broker: NewBroker, prefix: str
) -> None:
    for node in cluster.nodes:
        node.client.execute_command("ACL", "SETUSER", prefix, "on", f">{SECRET}", "~*", "&*", "+@all")
    url = cluster.url.replace("://", f"://{prefix}:{quote(SECRET, safe='')}@")
    broker = new_broker(url, client_name=prefix)
    for n in range(20):
        broker.append(f"news-{n}", events("hello"))
    assert [users_of(node, prefix) for node in cluster.nodes] == [{prefix}] * 3


def test_options_stand_in_the_query(server: Server) -> None:
    query = "prefix=shop&history=5&history_age=1.5&forget_after=9&key_age=3&wait_replicas=1&timeout=2"
    _, options = parse(f"redis://{address(server)}?{query}&max_connections=4", {})
    assert options == Options(
        prefix="shop",
        history=5,
        history_age=1.5,
        forget_after=9.0,
        key_age=3.0,
        wait_replicas=1,
        timeout=2.0,
        max_connections=4,
    )


def test_an_option_that_is_given_by_name_wins_over_the_query(server: Server) -> None:
    _, options = parse(f"redis://{address(server)}?history=5&prefix=shop", {"history": 7})
    assert (options.history, options.prefix) == (7, "shop")


def test_a_number_may_be_given_as_text(server: Server) -> None:
    _, options = parse(f"redis://{address(server)}", {"history": "7", "timeout": "0.5"})
    assert (options.history, options.timeout) == (7, 0.5)


def test_the_history_that_the_query_asks_for_is_kept(server: Server, prefix: str) -> None:
    with from_url(f"redis://{address(server)}?history=3&prefix={prefix}", {}) as broker:
        for n in range(9):
            broker.append("news", events(str(n)))
        assert data_of(read_all(broker, "news")) == ["6", "7", "8"]


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("redis://host?histroy=5", "'histroy' is unknown: did you mean 'history'\\?"),
        ("redis://host?ssl_ca_cert=x", "'ssl_ca_cert' is unknown: did you mean 'ssl_ca_certs'\\?"),
        ("redis://host?history=many", "'history' has to be a whole number from 1 to .*, not 'many'"),
        ("redis://host?history=1.5", "'history' has to be a whole number from 1 to .*, not '1.5'"),
        ("redis://host?timeout=long", "'timeout' has to be a number of seconds above 0, .*not 'long'"),
        ("redis://host?history=0", "'history' has to be a whole number from 1 to .*, not '0'"),
        ("redis://host?max_connections=-1", "'max_connections' has to be a whole number from 1, not '-1'"),
        ("redis://host?wait_replicas=-1", "'wait_replicas' has to be a whole number from 0, not '-1'"),
        ("redis://host?db=first", "'db' has to be a whole number from 0, or None, not 'first'"),
        ("redis://host/first", "'db' has to be a whole number from 0, or None, not 'first'"),
        ("redis://host?history_age=20&forget_after=10", "'forget_after' can't be less than 'history_age'"),
        ("redis://host?prefix=", "'prefix' has to be text without braces, not ''"),
        ("redis://host?prefix=a{b", "'prefix' has to be text without braces, not 'a{b'"),
        ("redis://host?prefix=a}b", "'prefix' has to be text without braces, not 'a}b'"),
        ("redis://host:many", "'host:\\*\\*\\*' is no host:port"),
        ("redis://host:70000", "'host:70000' is no host:port"),
        ("redis+cluster://h1:1,h2:many", "'h2:\\*\\*\\*' is no host:port"),
        ("redis://h1:1,h2:2", r"several servers: is it redis\+cluster:// or redis\+sentinel://\?"),
        ("redis+sentinel://host:26379", r"no service: redis\+sentinel://host:26379/mymaster"),
        ("redis+sentinel://host:26379/", "no service"),
        (
            "redis+sentinel://host:26379/mymaster/first",
            "'db' has to be a whole number from 0, or None, not 'first'",
        ),
        ("redis+cluster://host:1/3", "a cluster has no database but 0"),
        ("redis+cluster://host:1?db=3", "a cluster has no database but 0"),
        ("unix://", "names no socket: unix:///path/to/redis.sock"),
        ("unix://run/redis.sock", "names no socket: unix:///path/to/redis.sock"),
    ],
)
def test_what_can_not_be_meant_is_named_with_what_could_be(url: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        from_url(url, {})


@pytest.mark.parametrize("name", ["history_age", "forget_after", "key_age", "timeout"])
@each_wrong_time
def test_a_time_that_is_none_is_refused(name: str, value: str) -> None:
    assert_no_time(lambda query: from_url(f"redis://host?{query}", {}), name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("history", 1.5),
        ("history", True),
        ("history", [5]),
        ("max_connections", False),
        ("timeout", True),
        ("timeout", math.nan),
        ("timeout", [5]),
        ("prefix", 3),
        ("prefix", None),
        ("prefix", b"streamy"),
        ("db", -1),
        ("db", True),
        ("username", 5),
        ("ssl_check_hostname", "perhaps"),
        ("client", "redis://host"),
        ("client", 3),
    ],
)
def test_an_option_of_a_wrong_type_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"redis option '{name}' has to be "):
        from_url("redis://host", {name: value})


def test_a_client_can_not_be_named_by_a_url() -> None:
    with pytest.raises(ConfigError, match=r"redis option 'client' has to be a redis\.Redis"):
        from_url("redis://host?client=mine", {})


@pytest.mark.parametrize("name", ["password", "sentinel_password", "client"])
def test_a_secret_of_a_wrong_type_is_not_shown(name: str) -> None:
    with pytest.raises(ConfigError, match=f"redis option '{name}' has to be ") as refusal:
        from_url("redis://host", {name: ["hunter2"]})
    assert "hunter2" not in str(refusal.value)


def test_no_password_is_shown_by_what_was_parsed() -> None:
    found = parse(
        "redis+sentinel://user:hunter2@host/mymaster?sentinel_password=hunter2", {"password": "hunter2"}
    )
    assert "hunter2" not in repr(found)
