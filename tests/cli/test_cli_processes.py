"""`flask streamy …` and `streamy …` as processes: pipes, Ctrl-C, and what another process sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from streamy_core import Event
from streamy_core.testing.reading import data_of, events, read_all

from ..support.file_broker import FileBroker
from .command import APP, STREAMY, Command, flask_streamy
from .conftest import Start

pytestmark = pytest.mark.slow

AWAY = """\
from flask import Flask

from streamy_core import StreamManager

app = Flask(__name__)
app.config.from_prefixed_env()
sse = StreamManager(app)
"""


def data_in(log: FileBroker) -> list[str]:
    return data_of(read_all(log, "news"))


def test_each_line_is_delivered_before_the_next_is_written(start: Start, log: FileBroker) -> None:
    command = start(flask_streamy("send", "news", "--stdin"))
    command.write(b"a\n")
    command.wait_for_lines(1)
    assert data_in(log) == ["a"]
    command.write(b"b\n")
    command.wait_for_lines(2)
    assert data_in(log) == ["a", "b"]
    assert command.running


def test_half_a_line_waits_for_its_other_half(start: Start, log: FileBroker) -> None:
    command = start(flask_streamy("send", "news", "--stdin"))
    command.write(b"one\nhal")
    command.wait_for_lines(1)
    command.write(b"f\n")
    command.wait_for_lines(2)
    assert data_in(log) == ["one", "half"]


def test_the_end_of_standard_input_ends_send(start: Start, log: FileBroker) -> None:
    command = start(flask_streamy("send", "news", "--stdin"))
    command.write(b"a\nlast")
    command.stdin.close()
    assert (command.wait(), data_in(log)) == (0, ["a", "last"])


def test_tail_writes_what_another_process_publishes_at_once(start: Start, log: FileBroker) -> None:
    log.append("news", events("before"))
    command = start(flask_streamy("tail", "news", "--all", "--json"))
    command.wait_for_lines(1)
    log.append("news", [Event("live")])
    assert json.loads(command.wait_for_lines(2)[1])["data"] == "live"


def test_tail_ends_with_its_stream(start: Start, log: FileBroker) -> None:
    log.append("news", events("before"))
    command = start(flask_streamy("tail", "news", "--all"))
    command.wait_for_lines(1)
    log.end("news")
    assert (command.wait(), command.errors) == (0, "")


def test_settings_that_cannot_work_are_an_error_in_one_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\nfrom streamy_core import StreamManager\n"
        "app = Flask(__name__)\nStreamManager(app, max_retries=-1)\n"
    )
    command = start(flask_streamy("streams"))
    assert command.wait() == 1
    assert command.errors.startswith("Error: argument max_retries")
    assert command.errors.count("\n") == 1


# -- Ctrl-C


def waiting_tail(start: Start, log: FileBroker) -> Command:
    log.append("news", events("first"))
    return start(flask_streamy("tail", "news", "--all"))


def waiting_send(start: Start, log: FileBroker) -> Command:
    command = start(flask_streamy("send", "news", "--stdin"))
    command.write(b"first\n")
    return command


def serving_demo(start: Start, log: FileBroker) -> Command:
    return start([STREAMY, "demo", "--port", "0", "--no-browser"])


@pytest.mark.parametrize("begin", [waiting_tail, waiting_send, serving_demo])
def test_ctrl_c_ends_a_command_with_130_and_no_traceback(
    start: Start, log: FileBroker, begin: Callable[[Start, FileBroker], Command]
) -> None:
    command = begin(start, log)
    command.wait_for_lines(1)
    command.interrupt()
    assert (command.wait(), command.errors.strip()) == (130, "")


ELSEWHERE: Final = f"""\
import signal
import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])

{APP}"""
"""Its signals are taken by another thread than the one that waits, whose call they don't interrupt."""


@pytest.mark.parametrize("begin", [waiting_tail, waiting_send])
def test_ctrl_c_ends_a_command_whose_wait_it_does_not_interrupt(
    start: Start, log: FileBroker, tmp_path: Path, begin: Callable[[Start, FileBroker], Command]
) -> None:
    (tmp_path / "shop.py").write_text(ELSEWHERE)
    command = begin(start, log)
    command.wait_for_lines(1)
    command.interrupt()
    assert (command.wait(), command.errors.strip()) == (130, "")


# -- a full disk

SHARED: Final = """\
from flask import Flask

from streamy_core import StreamManager

app = Flask(__name__)
app.config.update(STREAMY_BROKER_URL="sqlite:///streams.db", STREAMY_OVERVIEW="loopback")
sse = StreamManager(app)
with app.app_context():
    sse.send_event("news", "hello")
"""


@pytest.mark.parametrize(
    "args",
    ["send news hello", "streams", "tail news --all", "runs", "doctor", "top --once --json"],
)
def test_an_output_that_is_full_is_an_error_in_one_line(start: Start, tmp_path: Path, args: str) -> None:
    (tmp_path / "shop.py").write_text(SHARED)
    (tmp_path / "stdout").symlink_to("/dev/full")
    command = start(flask_streamy(*args.split()))
    code = command.wait()
    assert (code, command.errors) == (
        1,
        "Error: standard output can't be written to: No space left on device\n",
    )


# -- a closed pipe


@pytest.mark.parametrize("entries", [1, 1_000], ids=["then nothing comes", "then much comes"])
def test_tail_ends_quietly_when_nobody_reads_on(start: Start, log: FileBroker, entries: int) -> None:
    log.append("news", events(*["x" * 1_000] * entries))
    command = start(flask_streamy("tail", "news", "--all"), piped=True)
    command.pipe.readline()
    command.pipe.close()
    assert command.wait() == 1
    assert command.errors == ""


def test_send_ends_quietly_when_nobody_reads_its_ids(start: Start, log: FileBroker) -> None:
    command = start(flask_streamy("send", "news", "--stdin"), piped=True)
    command.pipe.close()
    command.write(b"a\n")
    command.wait()
    assert (command.errors, data_in(log)) == ("", ["a"])


def test_an_error_is_told_once_where_the_app_has_set_up_no_log(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_STREAMY_BROKER_URL", "redis://127.0.0.1:1")
    (tmp_path / "away.py").write_text(AWAY)
    command = start(flask_streamy("send", "news", "hello", app="away"))
    assert command.wait() == 1
    (line,) = command.errors.splitlines()
    assert line.startswith("Error: could not publish to stream 'news': given up after 4 attempts")
