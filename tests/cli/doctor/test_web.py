"""Mistakes that a running URL shows: real nginx, gunicorn and wsgiref, asked as a browser asks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from flask import Flask, Response, redirect, request

from streamy_core import StreamManager
from streamy_core.cli.doctor.findings import Finding
from streamy_core.cli.doctor.web import Visit, of_web
from streamy_core.testing.gunicorn import GunicornServer
from streamy_core.testing.reading import eventually

from ...support.certificates import SEVERAL, make_certificate
from ...support.nginx import Nginx
from ...support.proxy import Proxy
from .planted import assert_found

pytestmark = pytest.mark.slow

SOON: Final = 1.0
"""Seconds after which what hasn't come is taken to be held back."""
ORIGIN: Final = "https://app.example"

StartNginx = Callable[..., Nginx]


def make_app() -> Flask:
    """An app with a good stream, and some that are not."""
    app = Flask("planted")
    sse = StreamManager(app)
    by_wsgi = StreamManager(app, name="by_wsgi", delivery="wsgi")
    polling = StreamManager(app, name="polling", delivery="wsgi", wsgi_slots=0)

    @app.get("/events")
    def events() -> Response:
        interval = request.args.get("keep_alive", type=float)
        how: dict[str, Any] = {} if interval is None else {"keep_alive_interval": interval}
        return sse.get_stream("news", **how)

    @app.get("/by_wsgi")
    def thread() -> Response:
        return by_wsgi.get_stream("news")

    @app.get("/polling")
    def polled() -> Response:
        return polling.get_stream("news")

    @app.get("/shared")
    def shared() -> Response:
        return sse.get_stream("news", allow_origins=[ORIGIN])

    @app.get("/ended")
    def ended() -> Response:
        return Response(status=204)

    @app.get("/page")
    def page() -> str:
        return "<h1>no stream</h1>"

    @app.get("/changed")
    def changed() -> Response:
        return sse.get_stream("news", headers={"Cache-Control": "no-cache"})

    @app.get("/private")
    def private() -> Any:
        return sse.get_stream("news") if "session" in request.cookies else redirect("/page")

    @app.get("/forbidden")
    def forbidden() -> tuple[str, int]:
        return "no", 401

    @app.get("/moved")
    def moved() -> Any:
        return redirect("/events")

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError

    return app


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    with GunicornServer(make_app(), tmp_path_factory.mktemp("gunicorn") / "log") as server:
        yield server


@pytest.fixture
def start_nginx(server: GunicornServer, tmp_path: Path) -> Iterator[StartNginx]:
    """Starts an nginx before the server, which is told these directives, too."""
    with ExitStack() as to_stop:
        yield lambda more="", **how: to_stop.enter_context(
            Nginx(
                tmp_path,
                ("127.0.0.1", server.port),
                make_certificate(tmp_path, SEVERAL),
                more=more,
                **how,
            ).start()
        )


def found_at(url: str, path: str = "/events", **how: Any) -> list[Finding]:
    return list(of_web(Visit(f"{url}{path}", how.pop("headers", {}), **how)))


def by(nginx: Nginx) -> str:
    return "http://{}:{}".format(*nginx.plain)


def test_a_good_stream_is_nothing_to_speak_of(server: GunicornServer) -> None:
    assert found_at(server.url) == []
    assert found_at(server.url, "/by_wsgi") == []
    assert found_at(server.url, "/moved") == []
    assert found_at(server.url, "/shared", origin=ORIGIN) == []
    assert found_at(server.url, "/private", headers={"Cookie": "session=1"}) == []


def test_a_stream_behind_a_good_nginx_is_nothing_to_speak_of(
    start_nginx: StartNginx, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nginx = start_nginx(guided=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    url = "https://{}:{}".format(*nginx.tls)
    assert found_at(url, "/events?keep_alive=0.2", patience=1.0) == []


def test_a_connection_that_outlasts_its_keep_alives_is_nothing_to_speak_of(start_nginx: StartNginx) -> None:
    nginx = start_nginx("proxy_read_timeout 1s;")
    assert found_at(by(nginx), "/events?keep_alive=0.3", patience=1.6) == []


@pytest.mark.parametrize("path", ["/events", "/by_wsgi"])
def test_an_nginx_that_collects_events(start_nginx: StartNginx, path: str) -> None:
    nginx = start_nginx("proxy_ignore_headers X-Accel-Buffering;")
    assert_found(found_at(by(nginx), path, within=SOON), "error", "held back", "proxy_buffering off;")


def test_an_nginx_that_compresses_events(start_nginx: StartNginx) -> None:
    nginx = start_nginx("gzip on; gzip_types text/event-stream; gzip_min_length 0;")
    (finding,) = found_at(by(nginx))
    assert "compressed (gzip)" in finding.what
    assert "gzip_types" in finding.cure


def test_a_proxy_that_passes_on_the_opening_and_collects_what_follows(server: GunicornServer) -> None:
    proxy = Proxy(("127.0.0.1", server.port))
    try:
        with ThreadPoolExecutor(1) as pool:
            url = f"http://127.0.0.1:{proxy.port}"
            finding = pool.submit(found_at, url, "/events?keep_alive=0.2", patience=1.8)
            eventually(lambda: proxy.replied, "the opening")
            proxy.freeze()
            assert_found(finding.result(), "error", "keep-alives of every 0.2 s are held back", "proxy")
    finally:
        proxy.close()


def test_an_nginx_that_has_less_patience_than_keep_alives(start_nginx: StartNginx) -> None:
    nginx = start_nginx("proxy_read_timeout 1s;")
    found = found_at(by(nginx), patience=3.0)
    assert_found(found, "error", "is closed after", "proxy_read_timeout 60s;")


def test_an_nginx_behind_which_nobody_serves(start_nginx: StartNginx) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    start_nginx(f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:1; }} }}")
    assert_found(found_at(f"http://127.0.0.1:{port}"), "error", "answers 502", "start the app")


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def by_wsgiref(app: Any) -> Iterator[str]:
    server: WSGIServer = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_speaks_http_1_0() -> None:
    with by_wsgiref(make_app()) as url:
        found = {finding.what: finding for finding in found_at(url)}
    assert found.keys() == {
        "the server answers by HTTP/1.0",
        "the stream is closed as soon as it has begun: clients poll",
    }
    assert "proxy_http_version 1.1;" in found["the server answers by HTTP/1.0"].cure


def test_a_server_whose_clients_poll(server: GunicornServer) -> None:
    assert_found(found_at(server.url, "/polling"), "warning", "clients poll", "STREAMY_WSGI_SLOTS")


def test_a_server_that_answers_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = found_at(f"http://127.0.0.1:{silent.getsockname()[1]}", within=0.3)
    assert_found(found, "error", "doesn't answer", "gthread --threads 8")


def test_keep_alives_that_are_rare(server: GunicornServer) -> None:
    found = found_at(server.url, "/events?keep_alive=120")
    assert_found(found, "warning", "only every 120 s", "STREAMY_KEEP_ALIVE = 30")


def test_a_hook_that_changes_cache_control(server: GunicornServer) -> None:
    assert_found(found_at(server.url, "/changed"), "warning", "no-transform doesn't", "after_request")


@pytest.mark.parametrize("cookies", [{}, {"Cookie": "session=1"}], ids=["without cookies", "with cookies"])
def test_a_page_of_another_origin_that_may_not_read(server: GunicornServer, cookies: dict[str, str]) -> None:
    found = found_at(server.url, origin=ORIGIN, headers=cookies)
    assert_found(found, "error", "can't read the stream", f"STREAMY_ALLOW_ORIGINS = ['{ORIGIN}']")


def test_a_redirect_to_a_page_where_one_signs_in(server: GunicornServer) -> None:
    assert_found(found_at(server.url, "/private"), "error", "leads to", "--header 'Cookie:")


@pytest.mark.parametrize(
    ("path", "status", "cure"),
    [
        ("/page", 200, "get_stream"),
        ("/ended", 204, "has ended"),
        ("/forbidden", 401, "--header 'Cookie:"),
        ("/nowhere", 404, "flask routes"),
        ("/broken", 500, "the app's log"),
    ],
)
def test_an_answer_that_is_no_stream(server: GunicornServer, path: str, status: int, cure: str) -> None:
    assert_found(found_at(server.url, path), "error", f"answers {status}", cure)


def test_nobody_listens() -> None:
    found = found_at("http://user:hunter2@127.0.0.1:1", "/events?grant=hunter2")
    assert_found(found, "error", "can't be reached", "curl -iN http://127.0.0.1:1/events")
    assert "hunter2" not in repr(found)


def test_a_certificate_that_is_not_trusted(start_nginx: StartNginx) -> None:
    nginx = start_nginx(guided=True)
    found = found_at("https://{}:{}".format(*nginx.tls))
    assert_found(found, "error", "can't be reached", "certbot")
    assert "certificate" in found[0].why


def test_a_port_that_speaks_no_tls(server: GunicornServer) -> None:
    found = found_at(server.url.replace("http", "https"))
    assert_found(found, "error", "can't be reached", f"ask {server.url}")


@pytest.fixture
def shop_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a host elsewhere, which is here."""
    ask = socket.getaddrinfo

    def answer(host: Any, *how: Any, **more: Any) -> Any:
        return ask("127.0.0.1" if host == "shop.example" else host, *how, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.mark.usefixtures("shop_example")
def test_browsers_that_get_http_1_1(server: GunicornServer) -> None:
    found = found_at(server.url.replace("127.0.0.1", "shop.example"))
    assert_found(found, "note", "HTTP/1.1", "http2")


@pytest.mark.usefixtures("shop_example")
def test_browsers_that_get_http_2_are_nothing_to_speak_of(
    start_nginx: StartNginx, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nginx = start_nginx(guided=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    assert found_at(f"https://shop.example:{nginx.tls[1]}") == []
