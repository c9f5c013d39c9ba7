"""Whether a process hears what is published to Redis: `/ready` says it, on an idle worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask

from streamy_core import StreamManager
from streamy_core.testing.reading import eventually

from .conftest import OwnServer
from .proxy import HoldingProxy

pytestmark = pytest.mark.slow

SEEN_WITHIN = 5.0
WELL_WITHIN = 15.0
OFTEN = 0.3


class Site:
    """An idle app that has said that it is ready. options: settings."""

    def __init__(self, url: str, prefix: str, **settings: Any) -> None:
        app = Flask(__name__)
        options = {"prefix": prefix, "timeout": 10.0}
        self.sse = StreamManager(app, broker=url, broker_options=options, **settings)
        app.register_blueprint(self.sse.blueprint)
        self._client = app.test_client()

    def wrong(self) -> set[str]:
        """What is wrong; nothing of it is a reason to restart."""
        answer = self._client.get("/streamy/ready")
        found = {trouble["what"] for trouble in answer.get_json()["wrong"]}
        assert answer.status_code == (503 if found else 200)
        assert self._client.get("/streamy/live").status_code == 200
        return found

    def says(self, *parts: str) -> None:
        """Fail unless it says one of these in time."""
        eventually(lambda: self.wrong() & set(parts), f"one of {parts}", within=SEEN_WITHIN)

    def is_well(self) -> None:
        eventually(lambda: not self.wrong(), "it is ready", within=WELL_WITHIN)


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(prefix: str) -> Iterator[MakeSite]:
    with ExitStack() as to_close:

        def make(url: str, **settings: Any) -> Site:
            site = Site(url, prefix, **settings)
            to_close.enter_context(site.sse)
            site.is_well()
            return site

        yield make


@pytest.fixture
def network(shared: Callable[[str], Any]) -> Iterator[HoldingProxy]:
    with HoldingProxy(("127.0.0.1", shared("valkey").port)) as proxy:
        yield proxy


@pytest.fixture
def url(network: HoldingProxy, shared: Callable[[str], Any]) -> str:
    return network.through(shared("valkey").url)


def test_a_server_that_is_away_is_told_and_so_is_its_return(
    make_site: MakeSite, url: str, network: HoldingProxy
) -> None:
    site = make_site(url, canary_interval=OFTEN)
    network.refuse()
    site.says("broker")
    network.resume()
    site.is_well()


def test_a_network_that_swallows_everything_is_told_although_calls_may_wait_for_longer(
    make_site: MakeSite, url: str, network: HoldingProxy
) -> None:
    site = make_site(url)
    network.freeze()
    site.says("broker")
    network.thaw()
    site.is_well()


def test_a_worker_whose_bells_are_swallowed_says_so_for_as_long_as_they_are(
    make_site: MakeSite, url: str, network: HoldingProxy
) -> None:
    site = make_site(url, canary_interval=OFTEN)
    network.deafen()
    site.says("bell", "hub")
    until = time.monotonic() + 3.0  # the watch has been made anew meanwhile, and what is read is no bell
    while time.monotonic() < until:
        wrong = site.wrong()
        assert wrong
        assert "broker" not in wrong
        time.sleep(0.02)
    network.undeafen()
    site.is_well()


def test_a_server_that_has_forgotten_everything_is_heard(make_site: MakeSite, own_server: OwnServer) -> None:
    server = own_server().start()
    site = make_site(server.url, canary_interval=0.05)
    canary = site.sse.binding.engine.canary
    server.client.flushall()
    sent = canary._number
    eventually(lambda: canary._number > sent + 5, "it goes on")
    site.is_well()


def test_a_server_that_is_full_is_told(make_site: MakeSite, own_server: OwnServer) -> None:
    server = own_server("maxmemory-policy noeviction").start()
    site = make_site(server.url, canary_interval=OFTEN)
    server.client.config_set("maxmemory", "1")
    site.says("broker")
    server.client.config_set("maxmemory", "0")
    site.is_well()
