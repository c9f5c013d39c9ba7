"""A pytest plug-in for apps that use Streamy: fixtures, and the option `--streamy-broker`.

Disable it by `-p no:streamy`.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from flask import Flask

from ..broker import Broker
from ..config import DEFAULT_URL
from ..manager import EXTENSION
from ..plugins import open_broker
from ..urls import redact
from . import to_do
from .client import EventClient
from .clock import ManualClock
from .doubles import FaultyBroker
from .gunicorn import GunicornServer
from .namespaced import Namespaced

_OPTION: Final = "--streamy-broker"
_MARKER: Final = "streamy_broker"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("streamy").addoption(
        _OPTION,
        action="append",
        metavar="URL",
        help="Run tests that use streamy_broker on this broker; may be given several times.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{_MARKER}(*urls): run this test on each of these brokers, whatever {_OPTION} says."
    )
    config.pluginmanager.register(to_do)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "streamy_broker" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker(_MARKER)
    urls = marker.args if marker else metafunc.config.getoption(_OPTION)
    if urls:
        metafunc.parametrize("streamy_broker", urls, indirect=True, ids=[redact(url) for url in urls])


@pytest.fixture(scope="session")
def _streamy_opened() -> Iterator[dict[str, Broker]]:
    """The shared brokers in use, by URL."""
    opened: dict[str, Broker] = {}
    yield opened
    for broker in opened.values():
        broker.close()


@pytest.fixture
def streamy_broker(
    request: pytest.FixtureRequest, _streamy_opened: dict[str, Broker]
) -> Iterator[FaultyBroker]:
    """A broker with no streams yet, that remembers what is published, and fails on demand.

    In memory, or on what `--streamy-broker=URL` or the marker `streamy_broker(URL, …)` says. There,
    names are prefixed by chance, so that tests don't meet; the streams stay there.
    """
    url: str = getattr(request, "param", DEFAULT_URL)
    broker = _streamy_opened.get(url) or open_broker(url)
    if broker.shared:
        _streamy_opened[url] = broker
        inner: Broker = Namespaced(broker, f"test-{secrets.token_hex(8)}:")
    else:
        inner = broker
    with FaultyBroker(inner) as double:
        assert isinstance(double, FaultyBroker)
        yield double


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """A test's own app goes by the clock that the test asks for."""
    app = yield
    own = fixturedef.argname == "app" and fixturedef.scope == "function"
    if own and isinstance(app, Flask) and "streamy_clock" in request.fixturenames:
        config: Any = app.config
        config.setdefault("STREAMY_CLOCK", request.getfixturevalue("streamy_clock"))
    return app


@pytest.fixture
def streamy_client(app: Flask) -> Iterator[EventClient]:
    """A client that reads event streams of the fixture `app`, without a server."""
    with EventClient(app) as client:
        yield client
    with app.app_context():
        for manager in app.extensions.get(EXTENSION, {}).values():
            if isinstance(manager.broker, FaultyBroker):
                manager.binding.close()  # before its broker, which ends with the test


@pytest.fixture
def streamy_server(app: Flask, tmp_path: Path) -> Iterator[GunicornServer]:
    """The fixture `app` under a real gunicorn, on a free port: its `url`, and `open` to read streams.

    It runs beside the test, in processes of its own: the test reaches it by HTTP. Needs gunicorn.
    """
    with GunicornServer(app, tmp_path / "gunicorn.log") as server:
        yield server


@pytest.fixture
def streamy_clock() -> ManualClock:
    """A clock that stands still until it is told to go on.

    A test's own `app`, that isn't shared by tests, goes by it: its keep-alives, its connections' ages, its
    re-checks and its pauses between attempts to publish. Others take it as `STREAMY_CLOCK`.
    """
    return ManualClock()
