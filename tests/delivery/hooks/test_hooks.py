"""What hooks do to a stream's response is what the client gets; what can't be is an error that names them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from streamy_core.testing.reading import eventually

from ...support.app_server import AppServer
from ...support.web_server import Pair
from ..servers.pairs import LIVE
from .app import READERS

pytestmark = pytest.mark.slow


def serving(app: str, pairs: Sequence[Pair]) -> Any:
    """A fixture: a server of each of these pairs, with the app that this function makes."""

    @pytest.fixture(scope="module", params=pairs, ids=str)
    def serve(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[AppServer]:
        log, settings = tmp_path_factory.mktemp("hooks") / "log", {"STREAMY_KEEP_ALIVE": 0.1}
        with AppServer(
            log, request.param, app=f"{__package__}.app:{app}()", settings=settings
        ).start() as server:
            yield server

    return serve


server = serving("create_app", LIVE)
own_class_server = serving("create_app_with_own_class", LIVE)
narrow_class_server = serving("create_app_with_narrow_class", [pair for pair in LIVE if pair.threads > 1])


@pytest.mark.parametrize("hook", READERS)
def test_a_hook_that_reads_the_body_is_named_and_costs_no_thread(
    server: AppServer, stream: str, hook: str
) -> None:
    for _ in range(server.pair.threads + 1):
        assert server.request("GET", f"/read/{hook}?ids={stream}").status == 500
    assert f"EndlessBody: {__package__}.app.{hook} (" in server.log()
    eventually(lambda: (server.stats().streams, server.stats().clients) == (0, 0), "nothing held")
    with server.connect(stream) as client:
        assert client.read_opening().id


def test_a_hook_that_leaves_bodies_alone_that_pass_through_does_no_harm(
    server: AppServer, stream: str
) -> None:
    with server.visit(f"/change/reads_what_it_may?ids={stream}") as client:
        client.read_opening()
        server.send(stream, "x")
        assert [message.data for message in client.read(1)] == ["x"]
        assert client.header("Content-Length") == []


def test_a_body_that_was_replaced_is_the_body(server: AppServer, stream: str) -> None:
    reply = server.request("GET", f"/change/denies?ids={stream}")
    assert (reply.status, reply.body) == (403, b"no entry")


def test_who_is_denied_by_the_status_alone_gets_no_event(server: AppServer, stream: str) -> None:
    server.send(stream, "secret")
    headers = {"Last-Event-ID": "x", "Connection": "close"}
    with server.visit(f"/change/denies_by_status?ids={stream}", headers=headers) as client:
        answer = client.read_all()
    assert answer.startswith(b"HTTP/1.1 403")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("hook", ["masks", "masks_by_map", "masks_as_text", "makes_another"])
def test_a_body_that_was_wrapped_is_delivered_so(server: AppServer, stream: str, hook: str) -> None:
    if server.pair.threads == 1:
        return  # what was wrapped is delivered by the server's only thread, and nobody could publish
    with server.visit(f"/change/{hook}?ids={stream}") as client:
        client.read_opening()
        server.send(stream, "a secret")
        assert [message.data for message in client.read(1)] == ["a ******"]
    eventually(lambda: server.stats().clients == 0, "the client gone")


def test_a_length_that_was_set_is_kept_to(server: AppServer, stream: str) -> None:
    with server.visit(f"/change/gives_length?ids={stream}") as client:
        client.read_head()
        assert client.header("Content-Length") == ["20"]
        assert client.header("Transfer-Encoding") == []


def test_a_response_that_has_not_changed_has_no_body(server: AppServer, stream: str) -> None:
    headers = {"If-None-Match": '"same"', "Connection": "close"}
    with server.visit(f"/change/has_not_changed?ids={stream}", headers=headers) as client:
        head = client.read_all()
    assert head.startswith(b"HTTP/1.1 304")
    assert head.endswith(b"\r\n\r\n")


def test_a_stream_that_became_a_204_has_no_type(server: AppServer, stream: str) -> None:
    with server.visit(f"/change/sends_nothing?ids={stream}", headers={"Connection": "close"}) as client:
        head = client.read_all()
    assert head.startswith(b"HTTP/1.1 204")
    assert b"content-type" not in head.lower()


def test_headers_arrive_as_what_they_stand_for(server: AppServer, stream: str) -> None:
    with server.visit(f"/change/sets_odd_headers?ids={stream}") as client:
        client.read_opening()
        assert (client.header("X-Kind"), client.header("X-Markup")) == (["created"], ["bold"])


def test_what_is_to_be_called_on_close_is_called_once_the_client_has_left(
    server: AppServer, stream: str
) -> None:
    def closed() -> list[str]:
        return [name for name in json.loads(server.ask("/closed")) if name == stream]

    with server.visit(f"/with_callback?ids={stream}") as client:
        client.read_opening()
        server.send(stream, "x")
        client.read(1)
        assert closed() == []
    eventually(lambda: closed() == [stream], "the callback called, once")


def test_a_post_streams_too(server: AppServer, stream: str) -> None:
    body = b"q=1"
    headers = {"Content-Length": str(len(body)), "Content-Type": "application/x-www-form-urlencoded"}
    with server.visit(f"/change/none?ids={stream}", method="POST", headers=headers, behind=body) as client:
        client.read_opening()
        server.send(stream, "x")
        assert [message.data for message in client.read(1)] == ["x"]


def test_an_app_with_a_response_class_of_its_own_keeps_all_of_it(
    own_class_server: AppServer, stream: str
) -> None:
    with own_class_server.connect(stream) as client:
        client.read_opening()
        own_class_server.send(stream, "x")
        assert [message.data for message in client.read(1)] == ["x"]
        assert (client.header("X-Own-Class"), client.header("X-Own-Headers")) == (["yes"], ["yes"])


def test_what_a_response_class_does_to_bodies_is_done(narrow_class_server: AppServer, stream: str) -> None:
    with narrow_class_server.connect(stream) as client:
        client.read_opening()
        narrow_class_server.send(stream, "a secret")
        assert [message.data for message in client.read(1)] == ["a ******"]
