"""The fixture `app` under a real gunicorn."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from flask import Flask, Response

from streamy_core import ConfigError, StreamManager
from streamy_core.broker import Broker
from streamy_core.plugins import open_broker
from streamy_core.strategies import FixedDelay
from streamy_core.testing import FaultyBroker, GunicornServer
from streamy_core.testing.reading import data_of, eventually, read_all

pytestmark = pytest.mark.slow


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[FaultyBroker]:
    with FaultyBroker(open_broker(f"sqlite:///{tmp_path}/streams.db")) as broker:
        assert isinstance(broker, FaultyBroker)
        yield broker


@pytest.fixture
def app(broker: Broker) -> Flask:
    app = Flask("shop")
    app.config.update(STREAMY_BROKER_URL=broker, STREAMY_OUTBOX_RETRY_POLICY=FixedDelay(60))
    sse = StreamManager(app)

    @app.get("/events")
    def events() -> Response:
        return sse.get_stream("news")

    @app.post("/news")
    def send() -> str:
        app.logger.warning("publishing")
        return sse.send_event("news", "from there")

    @app.post("/soon")
    def soon() -> str:
        sse.send_soon("soon", "before it ended")
        return str(os.getpid())

    return app


def post(url: str) -> str:
    with urlopen(url, data=b"") as response:
        return str(response.read().decode())


def test_a_page_reads_by_http_and_comes_back(streamy_server: GunicornServer) -> None:
    with streamy_server.open("/events") as page:
        post(f"{streamy_server.url}/news")
        assert page.wait_for("message").data == "from there"
        page.cut()
        post(f"{streamy_server.url}/news")
        page.reconnect()
        assert page.wait_for("message").data == "from there"


def test_tabs_hold_no_thread(streamy_server: GunicornServer) -> None:
    pages = [streamy_server.open("/events") for _ in range(12)]
    post(f"{streamy_server.url}/news")
    for page in pages:
        page.wait_for("message")
        page.close()


def test_it_is_the_tests_own_app_and_shares_what_its_broker_shares(
    streamy_server: GunicornServer, app: Flask, broker: Broker
) -> None:
    post(f"{streamy_server.url}/news")
    assert data_of(read_all(broker, "news")) == ["from there"]
    with streamy_server.open("/events") as page:
        app.extensions["streamy"]["default"].send_event("news", "from here")
        assert page.wait_for("message").data == "from here"


def test_its_log_has_what_the_app_logs(streamy_server: GunicornServer) -> None:
    post(f"{streamy_server.url}/news")
    eventually(lambda: "WARNING shop: publishing" in streamy_server.log, "a line in the log")
    assert "Using worker: gthread" in streamy_server.log


def test_closing_it_publishes_what_waits_and_leaves_no_process(
    app: Flask, broker: FaultyBroker, tmp_path: Path
) -> None:
    broker.fail_next_append()  # and the next attempt is a minute away
    with GunicornServer(app, tmp_path / "log") as server:
        worker = int(post(f"{server.url}/soon"))
    assert data_of(read_all(broker, "soon")) == ["before it ended"]
    eventually(lambda: not Path(f"/proc/{worker}").exists(), "the worker is gone")
    server.close()


def test_two_at_once_have_ports_of_their_own(app: Flask, tmp_path: Path) -> None:
    with GunicornServer(app, tmp_path / "one") as one, GunicornServer(app, tmp_path / "two") as two:
        assert one.port != two.port
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", str(one))


def test_it_heeds_no_settings_of_gunicorn_beside_it(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("raise SystemExit('this is for production')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--bind 127.0.0.1:1")
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    with GunicornServer(app, tmp_path / "log") as server:
        assert len(re.findall("Booting worker", server.log)) <= 1
        post(f"{server.url}/news")


def test_one_that_does_not_start_shows_its_log(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object) -> None:
        raise RuntimeError("nothing works today")

    monkeypatch.setattr("gunicorn.app.base.BaseApplication.run", broken)
    with pytest.raises(AssertionError, match="gunicorn ended with 1") as caught:
        GunicornServer(app, tmp_path / "log")
    assert "nothing works today" in "".join(caught.value.__notes__)


def test_without_gunicorn_it_says_what_to_install(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gunicorn.config", None)
    with pytest.raises(ConfigError, match="pip install gunicorn"):
        GunicornServer(app, tmp_path / "log")


def test_closing_it_leaves_its_pages(app: Flask, tmp_path: Path) -> None:
    with GunicornServer(app, tmp_path / "log") as server:
        page = server.open("/events")
    assert page.read_to_end() == []
