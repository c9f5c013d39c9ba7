"""Behind nginx as Debian ships it, told nothing but where to pass requests to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median

import pytest

from streamy_core import END

from ...support.certificates import make_certificate
from ...support.event_stream import Message
from ...support.nginx import Nginx
from ...support.raw_client import RawClient
from ...support.web_server import Pair
from ..app import Gunicorn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(20)]

Visit = Callable[..., RawClient]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """gunicorn, whose clients are detached."""
    pair = Pair("gthread", "detached", threads=4)
    with Gunicorn(pair, tmp_path_factory.mktemp("upstream") / "log") as server:
        yield server


@pytest.fixture(scope="module")
def nginx(upstream: Gunicorn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """nginx in front of it."""
    directory = tmp_path_factory.mktemp("nginx")
    with Nginx(directory, upstream.address, make_certificate(directory)).start() as nginx:
        yield nginx


@pytest.fixture(params=["plain", "tls"])
def visit(request: pytest.FixtureRequest, nginx: Nginx) -> Visit:
    """Asks nginx for a path."""
    tls = request.param == "tls"
    return lambda path, **more: RawClient(nginx.tls if tls else nginx.plain, path, tls=tls, **more)


def test_the_head_and_the_first_frame_come_before_any_event(visit: Visit, stream: str) -> None:
    with visit(f"/open/{stream}") as client:
        assert client.read_opening().retry is not None
        assert client.status == 200


def test_each_event_arrives_before_the_next_is_published(
    upstream: Gunicorn, visit: Visit, stream: str
) -> None:
    with visit(f"/open/{stream}") as client:
        client.read_opening()
        for number in range(30):
            upstream.send(stream, str(number))
            assert [message.data for message in client.read(number + 1)][number:] == [str(number)]


def test_an_event_takes_less_than_a_tenth_of_a_second(upstream: Gunicorn, visit: Visit, stream: str) -> None:
    took = []
    with visit(f"/open/{stream}") as client:
        client.read_opening()
        for number in range(30):
            began = time.monotonic()
            upstream.send(stream, str(number))
            client.read(number + 1)
            took.append(time.monotonic() - began)
    assert median(took) < 0.1


def test_the_end_arrives_and_closes_the_response(upstream: Gunicorn, visit: Visit, stream: str) -> None:
    with visit(f"/open/{stream}") as client:
        client.read_opening()
        upstream.send(stream, "last")
        upstream.end(stream)
        assert [(message.name, message.data) for message in client.read_to_end()][:1] == [("message", "last")]
        assert client.messages[-1].name == END


def test_a_client_that_has_seen_the_end_gets_204(upstream: Gunicorn, visit: Visit, stream: str) -> None:
    with visit(f"/open/{stream}") as client:
        client.read_opening()
        upstream.end(stream)
        client.read_to_end()
    with visit(f"/open/{stream}", headers={"Last-Event-ID": client.last_event_id}) as client:
        client.read_head()
        assert client.status == 204


def test_a_client_that_reconnects_again_and_again_loses_nothing(
    upstream: Gunicorn, visit: Visit, stream: str
) -> None:
    with visit(f"/open/{stream}") as client:
        cursor = client.read_opening().id or ""
    ids: list[str] = []
    got: list[Message] = []
    for number in range(10):
        ids += upstream.batch(stream, [f"{number} missed", f"{number} missed, too"])
        with visit(f"/open/{stream}", headers={"Last-Event-ID": cursor}) as client:
            client.read(2)
            ids.append(upstream.send(stream, f"{number} live"))
            got += client.read(3)
            cursor = client.last_event_id
    assert [message.id for message in got] == ids


def test_a_large_event_comes_whole_and_at_once(upstream: Gunicorn, visit: Visit, stream: str) -> None:
    text = "x" * 300_000
    with visit(f"/open/{stream}") as client:
        client.read_opening()
        upstream.send(stream, text)
        assert client.read(1)[0].data == text


def test_the_worker_notices_that_a_client_of_nginx_has_gone(
    upstream: Gunicorn, visit: Visit, stream: str
) -> None:
    with visit(f"/open/{stream}") as client:
        client.read_opening()
    upstream.hears_of_parting(stream, "gone")


def test_the_header_that_is_for_nginx_goes_no_further(visit: Visit, stream: str) -> None:
    with visit(f"/open/{stream}") as client:
        client.read_head()
        assert client.header("Content-Type") == ["text/event-stream"]
        assert client.header("X-Accel-Buffering") == []
