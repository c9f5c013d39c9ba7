"""`flask streamy doctor` and `streamy doctor`: what they write, and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo

from streamy_backends.memory import MemoryBroker
from streamy_core import ConfigError, StreamManager
from streamy_core.cli import flask_commands, main
from streamy_core.cli.doctor.findings import Finding, run_checks
from streamy_core.testing.doubles import FaultyBroker
from streamy_core.testing.gunicorn import GunicornServer

from ...backends.redis.conftest import program
from ...backends.redis.servers import Server
from ...support.certificates import SEVERAL, make_certificate
from ...support.nginx import Nginx
from ..conftest import Invoke


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"):
        monkeypatch.delenv(name, raising=False)


def standalone(*args: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *args])


FEW = ("--clients", "100")
"""So few that any machine has descriptors for them."""


def test_nothing_is_found_in_a_good_set_up(sse: StreamManager, invoke: Invoke) -> None:
    result = invoke("doctor", *FEW)
    assert (result.exit_code, result.stdout) == (0, "Nothing found.\n")


@pytest.mark.slow
def test_nothing_is_found_in_production_as_the_guide_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(
        "workers = 2\nthreads = 8\nmax_requests = 10_000\nmax_requests_jitter = 2_000\n"
    )
    valkey = Server(program("valkey"), tmp_path / "valkey").start()
    app = Flask("shop")
    app.config["STREAMY_BROKER_URL"] = valkey.url
    try:
        with StreamManager(app) as sse:
            app.add_url_rule("/events", view_func=lambda: sse.get_stream("news", keep_alive_interval=0.3))
            certificate = make_certificate(tmp_path, SEVERAL)
            with (
                GunicornServer(app, tmp_path / "log") as server,
                Nginx(tmp_path, ("127.0.0.1", server.port), certificate, guided=True).start() as nginx,
            ):
                monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
                args = ("--url", f"https://localhost:{nginx.tls[1]}/events", "--patience", "1")
                result = app.test_cli_runner().invoke(flask_commands, ["doctor", *FEW, *args])
    finally:
        valkey.stop()
    assert (result.exit_code, result.stdout) == (0, "Nothing found.\n")


def test_each_finding_is_a_block_with_its_cure(sse: StreamManager, invoke: Invoke) -> None:
    result = invoke("doctor", *FEW, "--gunicorn", "--workers 4 --threads 8")
    assert result.exit_code == 1
    what, why, cure, blank, summary = result.stdout.splitlines()
    assert what == "error: 4 workers serve the app, and each has streams of its own"
    assert why.startswith("  why:  ")
    assert cure.startswith("  cure: gunicorn --workers 1")
    assert (blank, summary) == ("", "Found: 1 error.")


def test_json_is_for_scripts(sse: StreamManager, invoke: Invoke) -> None:
    result = invoke("doctor", *FEW, "--json", "--gunicorn", "--workers 4 --threads 8")
    (found,) = json.loads(result.stdout)
    assert set(found) == {"level", "what", "why", "cure"}
    assert (found["level"], result.exit_code) == ("error", 1)
    assert json.loads(invoke("doctor", *FEW, "--json").stdout) == []


def test_a_warning_is_an_error_only_where_that_is_asked_for(app: Flask, invoke: Invoke) -> None:
    with StreamManager(app, keep_alive=300):
        assert invoke("doctor", *FEW).exit_code == 0
        assert invoke("doctor", *FEW, "--strict").exit_code == 1


def test_an_app_that_does_not_start_is_a_finding() -> None:
    def create_app() -> Flask:
        app = Flask("shop")
        app.config["STREAMY_BROKER_URL"] = "reddis://:hunter2@host"
        StreamManager(app)
        return app

    result = CliRunner().invoke(flask_commands, ["doctor"], obj=ScriptInfo(create_app=create_app))
    assert result.exit_code == 1
    assert "error: the app doesn't start" in result.stdout
    assert "cure: did you mean redis://?" in result.stdout
    assert "hunter2" not in result.output


def test_an_app_that_fails_as_it_is_imported_is_a_finding() -> None:
    def create_app() -> Flask:
        raise KeyError("hunter2")

    result = CliRunner().invoke(flask_commands, ["doctor"], obj=ScriptInfo(create_app=create_app))
    assert (result.exit_code, "why:  KeyError" in result.stdout) == (1, True)
    assert "hunter2" not in result.output


def test_where_there_is_no_app_flask_says_so() -> None:
    result = CliRunner().invoke(flask_commands, ["doctor"], obj=ScriptInfo())
    assert (result.exit_code, "Could not locate a Flask application" in result.output) == (2, True)


def test_of_workers_that_only_a_variable_asks_for_nothing_else_is_assumed(
    app: Flask, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    with StreamManager(app, delivery="wsgi", wsgi_slots=3):
        result = invoke("doctor", *FEW, "--json")
    assert [finding["what"] for finding in json.loads(result.stdout)] == [
        "4 workers serve the app, and each has streams of its own"
    ]


def test_a_broker_that_was_given_is_the_one_that_is_looked_at(app: Flask, invoke: Invoke) -> None:
    with FaultyBroker(MemoryBroker()) as broker, StreamManager(app, broker=broker):
        assert invoke("doctor", *FEW).exit_code == 0
        broker.go_away()
        result = invoke("doctor", *FEW)
    assert (result.exit_code, "the broker can't be reached" in result.stdout) == (1, True)


def test_an_app_without_a_manager_is_a_finding(invoke: Invoke) -> None:
    result = invoke("doctor")
    assert (result.exit_code, "has no StreamManager" in result.stdout) == (1, True)


def test_what_gunicorn_refuses_is_a_finding(sse: StreamManager, invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("raise SystemError('planted')")
    result = invoke("doctor", *FEW)
    assert result.exit_code == 1
    assert "cure: gunicorn --print-config" in result.stdout


def test_what_is_wrong_at_the_running_url_is_found_too(sse: StreamManager, invoke: Invoke) -> None:
    result = invoke("doctor", *FEW, "--url", "http://127.0.0.1:1/events")
    assert (result.exit_code, "can't be reached" in result.stdout) == (1, True)


def test_without_an_app_a_url_of_a_broker_is_looked_at() -> None:
    assert (standalone("memory://").exit_code, standalone("memory://").stdout) == (0, "Nothing found.\n")
    result = standalone("redis://:hunter2@127.0.0.1:1/0")
    assert (result.exit_code, "nc -vz 127.0.0.1 1" in result.stdout) == (1, True)
    assert "hunter2" not in result.output


def test_without_an_app_a_running_url_is_looked_at() -> None:
    result = standalone("http://user:hunter2@127.0.0.1:1/events?grant=hunter2")
    assert (result.exit_code, "can't be reached" in result.stdout) == (1, True)
    assert "hunter2" not in result.output


@pytest.mark.parametrize("url", ["nonsense", "http://", "https://[::1", "redis:x"])
def test_what_is_no_url_is_told_without_a_trace(url: str) -> None:
    result = standalone(url)
    assert result.exit_code == 1
    assert not result.exception or isinstance(result.exception, SystemExit)


def test_a_header_that_is_none_is_refused() -> None:
    result = standalone("http://127.0.0.1:1/", "--header", "session=1")
    assert (result.exit_code, "a header is 'Name: value'" in result.output) == (2, True)


def test_a_check_that_fails_becomes_a_finding_and_the_others_go_on() -> None:
    def ill() -> list[Finding]:
        raise RuntimeError("hunter2")

    def refused() -> list[Finding]:
        raise ConfigError("told")

    well = Finding("error", "what", "why", "cure")
    first, second, third = run_checks([("a", ill), ("b", refused), ("c", lambda: [well, well])])
    assert first == well
    assert (second.what, second.why) == ("couldn't look at a", "RuntimeError")
    assert (third.what, third.why) == ("couldn't look at b", "ConfigError: told")
