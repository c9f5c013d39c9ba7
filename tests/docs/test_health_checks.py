"""The recipes of the guide to health checks: what they ask for is there, and their times fit."""

from __future__ import annotations

import configparser
import re
import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import yaml
from flask.testing import FlaskClient

from streamy_core.health import LASTS
from streamy_core.testing.reading import DEADLINE, eventually

from ..support.web_server import WebServer
from .conftest import EXAMPLES, Load

PROBES: Final = EXAMPLES / "probes"
GRACE: Final = 30.0
"""gunicorn's own `--graceful-timeout`."""


@pytest.fixture
def client(load: Load) -> FlaskClient:
    found: FlaskClient = load("probes/shop").app.test_client()
    return found


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    recipe = yaml.safe_load((PROBES / "kubernetes.yaml").read_text("utf-8"))
    found: dict[str, Any] = recipe["spec"]["template"]["spec"]
    return found


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    return found


@pytest.fixture(scope="module")
def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(PROBES / "shop.service", "utf-8")
    return parser["Service"]


def lasts(probe: dict[str, Any]) -> float:
    """Seconds for which a probe has to fail until something is done."""
    return float(probe["periodSeconds"] * probe["failureThreshold"])


def test_kubernetes_asks_for_what_the_app_answers(container: dict[str, Any], client: FlaskClient) -> None:
    paths = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    assert paths == {
        "startupProbe": "/streamy/live",
        "readinessProbe": "/streamy/ready",
        "livenessProbe": "/streamy/live",
    }
    assert {client.get(path).status_code for path in paths.values()} == {200}


def test_kubernetes_takes_a_worker_out_soon_and_restarts_it_late(container: dict[str, Any]) -> None:
    assert lasts(container["readinessProbe"]) <= 10
    assert lasts(container["livenessProbe"]) >= LASTS, "a pool of threads may wait for a database as well"
    for name in ("readinessProbe", "livenessProbe"):
        assert container[name]["timeoutSeconds"] >= 2, "the first answer may take a second"


def test_kubernetes_leaves_time_to_stop(pod: dict[str, Any], container: dict[str, Any]) -> None:
    (_, pause) = container["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] >= float(pause) + GRACE


def test_each_pod_has_one_worker(container: dict[str, Any]) -> None:
    assert "--workers=1" in container["args"]


def test_compose_asks_for_what_the_app_answers(client: FlaskClient) -> None:
    shop = yaml.safe_load((PROBES / "compose.yaml").read_text("utf-8"))["services"]["shop"]
    asked = re.search(r"http://127\.0\.0\.1:8000(/\S+?)\"", shop["healthcheck"]["test"][-1])
    assert asked
    assert client.get(asked[1]).status_code == 200
    compile(shop["healthcheck"]["test"][-1], "compose", "exec")
    assert ("--workers 1" in shop["command"], "8000" in shop["command"]) == (True, True)


def test_only_operators_are_told_why(client: FlaskClient, load: Load) -> None:
    shop = load("probes/shop")
    assert shop.is_operator(SimpleNamespace(headers={"Authorization": f"Bearer {shop.TOKEN}"}))
    assert not shop.is_operator(SimpleNamespace(headers={}))


def test_the_watchdog_has_longer_than_a_blip_and_hears_from_a_worker(
    service: configparser.SectionProxy,
) -> None:
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "all")
    assert float(service["WatchdogSec"]) >= 30
    assert float(service["TimeoutStopSec"]) > GRACE
    assert (PROBES / shlex.split(service["ExecStart"])[2]).exists()


class Systemd:
    """What systemd hears: the socket that it names to a service."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(DEADLINE)

    def hear(self) -> str:
        return self._socket.recv(4_096).decode()

    def hears_nothing(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4_096)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(DEADLINE)
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    heard = Systemd(tmp_path / "notify")
    yield heard
    heard.close()


@pytest.mark.slow
def test_systemd_hears_that_gunicorn_is_ready_and_that_its_worker_is_live(
    systemd: Systemd, tmp_path: Path
) -> None:
    server = WebServer(
        "shop:app",
        tmp_path / "log",
        options=("--config", "gunicorn_watchdog.py"),
        cwd=PROBES,
        environment={
            "NOTIFY_SOCKET": tmp_path / "notify",
            "WATCHDOG_USEC": 400_000,
            "PYTHONDONTWRITEBYTECODE": 1,
        },
    )
    with server.start():
        assert systemd.hear().startswith("READY=1")
        assert [systemd.hear(), systemd.hear()] == ["WATCHDOG=1"] * 2


def test_the_watchdog_hears_nothing_of_a_worker_that_isnt_live(
    systemd: Systemd, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    feed = load("probes/gunicorn_watchdog").feed_watchdog
    asked: list[str] = []
    status, over = [503], threading.Event()

    class Client:
        def get(self, path: str) -> SimpleNamespace:
            asked.append(path)
            if over.is_set():
                raise EOFError
            return SimpleNamespace(status_code=status[0])

    app = SimpleNamespace(test_client=Client)

    def run() -> None:
        with suppress(EOFError):
            feed(app, 0.01)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    eventually(lambda: len(asked) > 5, "it asks")
    assert systemd.hears_nothing(0.05)
    status[0] = 200
    assert systemd.hear() == "WATCHDOG=1"
    over.set()
    thread.join(DEADLINE)
    assert set(asked) == {"/streamy/live"}
