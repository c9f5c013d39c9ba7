"""The demo's server: starting, ending, refusing."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil
import pytest

from streamy_core import OLDEST, StreamyError
from streamy_core.demo.app import EXTENSION, create_app, run

pytestmark = pytest.mark.slow

# A parent may have told its children to ignore SIGINT.
RUN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from streamy_core.demo.app import run
run({options})
"""


@contextmanager
def running(options: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The demo in a process of its own, and its port."""
    command = [sys.executable, "-W", "error", "-c", RUN.format(options=options)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environ},
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield process, int(line.split("127.0.0.1:")[1].split("/")[0])
        finally:
            process.kill()


def test_ctrl_c_ends_at_once_with_a_client_connected():
    with ExitStack() as stack:
        process, port = stack.enter_context(running("port=0, open_browser=False"))
        client = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)))
        client.request("GET", "/events?client=one")
        response = stack.enter_context(client.getresponse())
        assert response.readline()

        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)

        assert time.monotonic() - started < 2
        assert process.returncode == 0
        assert (out, err) == ("", "")


def test_opens_the_users_browser_on_its_page(tmp_path: Path, until):
    opened = tmp_path / "opened"
    script = tmp_path / "browser.py"
    script.write_text("import pathlib, sys\npathlib.Path(sys.argv[1]).write_text(sys.argv[2])\n")
    browser = f"{sys.executable} {script} {opened} %s"
    with running("port=0", BROWSER=browser) as (_, port):
        assert until(lambda: opened.exists() and opened.read_text())
        assert opened.read_text() == f"http://127.0.0.1:{port}/"


def test_other_host_names_are_refused():
    with running("port=0, open_browser=False") as (_, port):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        with refused.value:
            assert refused.value.code == 400
        with urllib.request.urlopen(f"http://localhost:{port}/") as response:
            assert response.status == 200


def test_a_port_in_use_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StreamyError, match=f"port {port} is in use by another program: choose another"):
            run(port=port, open_browser=False)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"port": 70_000}, "a port is a number from 0 to 65535, not 70000"),
        ({"host": "192.0.2.1", "port": 0}, "can't listen on 192.0.2.1, port 0: "),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_told(where, message):
    with pytest.raises(StreamyError, match=message):
        run(**where, open_browser=False)


def test_missing_psutil_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(StreamyError, match=r'pip install "streamy-sse\[demo\]"'):
        create_app()


def test_what_is_no_file_is_not_followed(tmp_path: Path):
    with pytest.raises(StreamyError, match="is not a file"):
        create_app(tmp_path)


def test_close_stops_publishing():
    before = set(threading.enumerate())
    app = create_app()
    demo = app.extensions[EXTENSION]
    assert set(threading.enumerate()) - before  # of which others' may end meanwhile

    demo.close()
    demo.close()

    assert set(threading.enumerate()) <= before


def test_the_first_sample_is_real(served):
    samples = served.demo.sse.subscribe("system", OLDEST)
    while (first := samples.next(timeout=0)) is None:
        sum(range(10_000))

    sample = json.loads(first.event.data)
    assert sample["serial"] == 1
    assert len(sample["cpu"]) == psutil.cpu_count()
    assert max(sample["cpu"]) > 0
    assert 0 < sample["memory_used"] < sample["memory_total"] == psutil.virtual_memory().total
    assert abs(sample["at"] - time.time() * 1000) < 60_000


@pytest.mark.parametrize(
    "message",
    [
        [],
        {"text": "no name"},
        {"name": "A", "text": " "},
        {"name": "A", "text": "x" * 501},
        {"name": "A", "text": 1},
    ],
)
def test_a_message_that_is_none_is_refused(served, message):
    answer = served.app.test_client().post("/chat", json=message)

    assert answer.status_code == 400
    assert "a message" in answer.json["error"]


def test_too_many_countdowns_are_refused(served):
    client = served.app.test_client()
    answers = [client.post("/countdown").status_code for _ in range(17)]

    assert answers == [200] * 16 + [429]


def test_without_a_socket_to_cut_the_stream_is_served_all_the_same(served):
    with served.app.test_client().get("/events?client=one") as response:
        assert response.mimetype == "text/event-stream"
        assert len(served.demo.connections) == 0
