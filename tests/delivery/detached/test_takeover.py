"""What stays as it was when gunicorn's clients are taken over, and when they are left to it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_core import END
from streamy_core.delivery import sockets
from streamy_core.delivery.detached.takeover import is_plain_head
from streamy_core.delivery.servers.base import is_plain
from streamy_core.testing.reading import DEADLINE, eventually

from ...support.certificates import make_certificate
from ...support.event_stream import FrameReader
from ...support.web_server import Pair
from ..app import PER_KEY, Gunicorn

pytestmark = pytest.mark.timeout(20)

CONNECTIONS: Final = 20
STREAMS: Final = 100

GTHREAD: Final = Pair("gthread", "detached", threads=4)
SYNC: Final = Pair("sync", "detached", threads=1)


_POST: Final[dict[str, Any]] = {"method": "POST", "headers": {"Content-Length": "9"}, "behind": b"a=1&b=two"}


@pytest.fixture(scope="module", params=[GTHREAD, SYNC], ids=str)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """gunicorn, whose clients are detached."""
    log = tmp_path_factory.mktemp("takeover") / "log"
    with Gunicorn(request.param, log) as server:
        yield server


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """gunicorn's gthread worker, with room for few connections."""
    log = tmp_path_factory.mktemp("small") / "log"
    with Gunicorn(GTHREAD, log, "--worker-connections", str(CONNECTIONS)) as server:
        yield server


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """gunicorn's gthread worker, which does TLS itself."""
    directory = tmp_path_factory.mktemp("tls")
    # Asked for "detached" it would warn, as it should, but serve just the same.
    pair = Pair("gthread", "auto", threads=4)
    with Gunicorn(pair, directory / "log", certificate=make_certificate(directory)) as server:
        yield server


def test_a_client_is_detached(server: Gunicorn, stream: str) -> None:
    with server.visit(f"/open/{stream}") as client:
        client.read_opening()
        assert server.delivery(stream) == ["detached"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-App", "stage"),
        ("Access-Control-Allow-Origin", "https://example.org"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Content-Type", "text/event-stream"),
    ],
)
def test_a_header_that_the_app_adds_arrives_once(
    server: Gunicorn, stream: str, name: str, value: str
) -> None:
    with server.visit(f"/open/{stream}") as client:
        client.read_head()
        assert client.header(name) == [value]


def test_all_cookies_arrive_each_in_a_header_of_its_own(server: Gunicorn, stream: str) -> None:
    with server.visit(f"/open/{stream}") as client:
        client.read_head()
        assert client.header("Set-Cookie") == ["first=1; HttpOnly; Path=/", "second=2; Path=/; SameSite=Lax"]


@pytest.mark.parametrize("name", ["Connection", "Transfer-Encoding", "Keep-Alive", "Date", "Server"])
def test_no_header_of_the_server_s_own_comes_twice(server: Gunicorn, stream: str, name: str) -> None:
    with server.visit(f"/open/{stream}") as client:
        client.read_head()
        assert len(client.header(name)) <= 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A\r\nSet-Cookie", "x"),
        ("X A", "x"),
        ("X-A:", "x"),
        ("", "x"),
        ("X-\u00e9", "x"),
        ("X-A", "x\r\nSet-Cookie: y"),
        ("X-A", "x\ny"),
        ("X-A", "x\0y"),
        ("X-A", "x\x7fy"),
        ("X-A", "\u20ac"),
        ("Content-Length", "5"),
        ("transfer-encoding", "gzip"),
    ],
    ids=ascii,
)
def test_a_head_that_can_not_go_out_as_it_is_is_left_to_the_server(name: str, value: str) -> None:
    assert is_plain_head([("X-Fine", "yes")])
    assert not is_plain_head([("X-Fine", "yes"), (name, value)])


@pytest.mark.parametrize("value", ["", "a b\tc", "\u00e9", "x" * 5_000, "a=1; Path=/; HttpOnly"], ids=ascii)
def test_an_ordinary_head_goes_out(value: str) -> None:
    assert is_plain_head([("Set-Cookie", value), ("!#$%&'*+.^_`|~", value)])


def test_the_head_says_that_the_connection_will_be_closed(server: Gunicorn, stream: str) -> None:
    with server.visit(f"/open/{stream}") as client:
        client.read_head()
        assert client.header("Connection") == ["close"]


def test_a_client_of_http_1_0_gets_no_chunks(server: Gunicorn, stream: str) -> None:
    with server.visit(f"/open/{stream}", version="1.0") as client:
        client.read_opening()
        server.send(stream, "one")
        server.end(stream)
        received = client.read_all()
        assert client.header("Transfer-Encoding") == []
        assert re.sub(rb"id: .*\n", b"", received).startswith(b"data: one\n\n")
        assert server.delivery(stream) == ["detached"]


def test_a_client_of_http_1_1_gets_valid_chunks_up_to_the_last(server: Gunicorn, stream: str) -> None:
    connection = HTTPConnection(*server.address, timeout=DEADLINE)
    connection.request("GET", f"/open/{stream}")
    with connection.getresponse() as response:
        eventually(lambda: server.delivery(stream), "the client is known")
        ids = server.batch(stream, [f"{number} {'x' * 1000}" for number in range(200)])
        server.end(stream)
        parser = FrameReader()
        parser.feed(response.read())  # raises IncompleteRead unless the last chunk comes
        assert response.chunked
    connection.close()
    assert [message.id for message in parser.messages[:-1]] == ids
    assert parser.messages[-1].name == END


def test_a_client_of_http_1_1_gets_each_event_as_it_comes(server: Gunicorn, stream: str) -> None:
    connection = HTTPConnection(*server.address, timeout=DEADLINE)
    connection.request("GET", f"/open/{stream}")
    with connection.getresponse() as response:
        for number in range(5):
            server.send(stream, str(number))
            assert _read_data(response) == str(number)
    connection.close()


def test_teardown_functions_have_run_while_the_stream_is_open(server: Gunicorn, stream: str) -> None:
    with ExitStack() as opened:
        for client in [opened.enter_context(server.visit(f"/open/{stream}")) for _ in range(5)]:
            client.read_opening()
        eventually(lambda: server.counts()[f"teardown /open/{stream}"] == 5, "five teardowns")


def test_no_app_context_is_held_while_the_stream_is_open(server: Gunicorn, stream: str) -> None:
    with ExitStack() as opened:
        for client in [opened.enter_context(server.visit(f"/open/{stream}")) for _ in range(5)]:
            client.read_opening()

        def only_this_one_is_held() -> bool:
            counts = server.counts()
            return counts["pushed"] - counts["popped"] == 1

        eventually(only_this_one_is_held, "all contexts popped but that of the question")


def test_the_access_log_has_its_line_and_a_200(server: Gunicorn, stream: str) -> None:
    with server.visit(f"/open/{stream}") as client:
        client.read_opening()
        line = rf'"GET /open/{stream} HTTP/1\.1" 200 '
        eventually(lambda: re.search(line, server.log()), "a line in the access log")
    assert len(re.findall(line, server.log())) == 1


def test_nothing_is_written_to_the_log_but_access(server: Gunicorn, stream: str) -> None:
    with server.visit(f"/open/{stream}") as client:
        client.read_opening()
        server.end(stream)
        client.read_to_end()
    assert not re.search(r"Traceback|\[ERROR\]|\[WARNING\]", server.log())


def test_a_head_request_connects_nobody(server: Gunicorn, stream: str) -> None:
    assert server.request("HEAD", f"/open/{stream}").status == 200
    assert server.told(stream) == []


def test_clients_that_come_and_go_leave_nothing_behind(server: Gunicorn, stream: str) -> None:
    base = server.settled()
    for _ in range(30):
        with server.visit(server.path(stream)) as client:
            client.read_opening()
    server.settles_to(base)


def test_a_post_whose_body_nobody_read_gets_every_event(server: Gunicorn, stream: str) -> None:
    with server.visit(f"/open/{stream}", **_POST) as client:
        client.read_opening()
        ids = server.batch(stream, ["one", "two"])
        server.end(stream)
        assert [message.id for message in client.read_to_end()[:-1]] == ids


def test_ordinary_requests_are_answered_beside_more_streams_than_connections(small_server: Gunicorn) -> None:
    with ExitStack() as opened:
        for client in [opened.enter_context(small_server.visit("/open/many")) for _ in range(STREAMS)]:
            client.read_opening()
        for _ in range(2 * CONNECTIONS):
            assert small_server.ask("/hello") == b"hello"


def test_more_streams_than_connections_all_get_every_event(small_server: Gunicorn, stream: str) -> None:
    with ExitStack() as opened:
        clients = [opened.enter_context(small_server.visit(f"/open/{stream}")) for _ in range(STREAMS)]
        for client in clients:
            client.read_opening()
        ids = small_server.batch(stream, [str(number) for number in range(10)])
        for client in clients:
            assert [message.id for message in client.read(10)] == ids


def test_ordinary_connections_are_kept_alive_beside_streams(small_server: Gunicorn) -> None:
    with ExitStack() as opened:
        for client in [opened.enter_context(small_server.visit("/open/many")) for _ in range(STREAMS)]:
            client.read_opening()
        connection = HTTPConnection(*small_server.address, timeout=DEADLINE)
        connection.request("GET", "/hello")
        assert connection.getresponse().read() == b"hello"
        kept = connection.sock
        connection.request("GET", "/hello")
        assert connection.getresponse().read() == b"hello"
        assert kept is not None
        assert connection.sock is kept
        connection.close()


def test_streams_that_have_ended_give_their_connections_back(small_server: Gunicorn) -> None:
    for number in range(3):
        name = f"short:{number}"
        with ExitStack() as opened:
            clients = [opened.enter_context(small_server.visit(f"/open/{name}")) for _ in range(CONNECTIONS)]
            for client in clients:
                client.read_opening()
            small_server.end(name)
            for client in clients:
                assert client.read_to_end()[-1].name == END


def test_a_stream_may_follow_an_ordinary_request_on_the_same_connection(
    small_server: Gunicorn, stream: str
) -> None:
    connection = HTTPConnection(*small_server.address, timeout=DEADLINE)
    connection.request("GET", "/hello")
    assert connection.getresponse().read() == b"hello"
    connection.request("GET", f"/open/{stream}")
    with connection.getresponse() as response:
        small_server.send(stream, "one")
        assert _read_data(response) == "one"
    connection.close()
    assert small_server.delivery(stream) == ["detached"]


@pytest.mark.parametrize(
    ("headers", "more"),
    [
        ({}, b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        ({}, b"x"),
        ({"Content-Length": "1"}, b""),
        ({"Content-Length": "5"}, b"hello"),
        ({"Content-Length": "100000"}, b"x" * 100_000),
        ({"Transfer-Encoding": "chunked"}, b""),
        ({"Transfer-Encoding": "chunked"}, b"5\r\nhello\r\n0\r\n\r\n"),
    ],
    ids=["pipelined", "a byte", "body to come", "body", "large body", "chunks to come", "chunks"],
)
def test_whatever_follows_a_requests_head_its_client_holds_no_thread(
    server: Gunicorn, stream: str, headers: dict[str, str], more: bytes
) -> None:
    with server.visit(f"/open/{stream}", headers=headers, behind=more) as client:
        client.read_opening()
        assert server.delivery(stream) == ["detached"]
        server.send(stream, "one")
        assert [message.data for message in client.read(1)] == ["one"]
        server.end(stream)
        client.read_to_end()
    assert not re.search(r"Traceback|\[ERROR\]|\[WARNING\]", server.log())


@pytest.mark.parametrize("version", ["1.2", "1.9"])
def test_a_client_of_a_higher_minor_version_holds_no_thread(
    server: Gunicorn, stream: str, version: str
) -> None:
    with server.visit(f"/open/{stream}", version=version) as client:
        client.read_opening()
        assert server.delivery(stream) == ["detached"]


def test_a_client_that_never_stops_talking_is_dropped(server: Gunicorn, stream: str) -> None:
    with server.visit(f"/open/{stream}") as client, suppress(OSError):
        client.read_opening()
        for _ in range(64):
            client.send(bytes(65_536))
    server.hears_of_parting(stream, "gone")


def test_tls_inside_the_worker_is_served_by_generator(tls_server: Gunicorn, stream: str) -> None:
    with tls_server.visit(f"/open/{stream}") as client:
        client.read_opening()
        assert tls_server.delivery(stream) == ["wsgi"]


def test_over_tls_inside_the_worker_every_event_arrives(tls_server: Gunicorn, stream: str) -> None:
    with tls_server.visit(f"/open/{stream}") as client:
        client.read_opening()
        for number in range(10):
            _publish_by_tls(tls_server, stream, str(number))
        assert [message.data for message in client.read(10)] == [str(number) for number in range(10)]


@contextmanager
def all_that_a_key_may_have(server: Gunicorn, stream: str) -> Iterator[None]:
    """As many clients of the stream as one key may have, whose key is the stream's name."""
    with ExitStack() as opened:
        for _ in range(PER_KEY):
            opened.enter_context(server.visit(f"/open/{stream}?key={stream}")).read_opening()
        yield


def test_only_so_many_clients_of_a_key_may_stay(server: Gunicorn, stream: str) -> None:
    with (
        all_that_a_key_may_have(server, stream),
        server.visit(f"/open/{stream}?key={stream}") as one_too_many,
    ):
        one_too_many.read_to_end()
        assert one_too_many.last_frame.id is None
        assert one_too_many.last_frame.retry is not None
        server.hears_of_parting(stream, "busy")


def test_a_client_of_another_key_may_stay(server: Gunicorn, stream: str) -> None:
    with (
        all_that_a_key_may_have(server, stream),
        server.visit(f"/open/{stream}?key={stream}:other") as client,
    ):
        client.read_opening()
        server.send(stream, "one")
        assert [message.data for message in client.read(1)] == ["one"]


def test_clients_without_a_key_are_not_counted_by_key(server: Gunicorn, stream: str) -> None:
    with ExitStack() as opened:
        clients = [opened.enter_context(server.visit(f"/open/{stream}")) for _ in range(PER_KEY + 3)]
        for client in clients:
            client.read_opening()
        server.send(stream, "one")
        for client in clients:
            assert [message.data for message in client.read(1)] == ["one"]


def test_a_client_of_a_key_that_leaves_makes_room_for_another(server: Gunicorn, stream: str) -> None:
    for number in range(PER_KEY + 2):
        with server.visit(f"/open/{stream}?key={stream}") as client:
            client.read_opening()
            assert server.delivery(stream) == ["detached"] * (number + 1)
        server.hears_of_parting(stream, "gone", number + 1)


@pytest.mark.slow
def test_a_worker_that_does_tls_says_why_it_does_not_detach(tmp_path: Path) -> None:
    with (
        Gunicorn(GTHREAD, tmp_path / "log", certificate=make_certificate(tmp_path)) as server,
        server.visit("/open/news") as client,
    ):
        client.read_opening()
        assert "this server doesn't allow it" in server.log()


def test_signals_of_a_detached_client_come_from_the_worker(server: Gunicorn, stream: str) -> None:
    with server.visit(f"/open/{stream}?key=me") as client:
        client.read_opening()
        server.end(stream)
        client.read_to_end()
    server.hears_of_parting(stream, "ended")
    common = {"streams": [stream], "key": "me", "delivery": "detached"}
    assert server.told(stream) == [
        {"signal": "client-connected", **common},
        {"signal": "client-disconnected", "reason": "ended", **common},
    ], json.dumps(server.told(stream))


def _read_data(response: HTTPResponse) -> str:
    """The data of the next event after the opening."""
    while not (line := response.readline()).startswith(b"data: ") or b"keep_alive" in line:
        assert line, "the response is over"
    return line.removeprefix(b"data: ").decode().rstrip()


def _publish_by_tls(server: Gunicorn, stream: str, text: str) -> None:
    headers = {"Content-Length": str(len(text)), "Connection": "close"}
    with server.visit(f"/send/{stream}", method="POST", headers=headers, behind=text.encode()) as visitor:
        assert b"200 OK" in visitor.read_all()


@pytest.mark.parametrize(
    ("protocol", "taken"), [("HTTP/1.0", True), ("HTTP/1.1", True), ("HTTP/2.0", False), ("HTTP/2", False)]
)
def test_a_connection_of_many_streams_is_left_to_the_server(protocol: str, taken: bool) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sock,
    ):
        assert is_plain(sock, {"SERVER_PROTOCOL": protocol}) is taken


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no TCP_USER_TIMEOUT")
def test_the_system_is_told_how_long_a_peer_may_acknowledge_nothing() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as sock,
    ):
        sockets.set_user_timeout(sock, 12.5)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 12_500
