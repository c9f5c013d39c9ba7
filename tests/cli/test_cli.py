"""`flask streamy …` and `streamy …`, called in this process."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import OLDEST, BrokerUnavailable, Entry, Event, StreamManager, __version__
from streamy_core.cli import main
from streamy_core.demo import app as demo
from streamy_core.events import CANARY, CONNECTIONS, CONTROL
from streamy_core.strategies import FixedDelay, NoRetry
from streamy_core.testing.reading import DEADLINE, eventually, read_all

from ..support.file_broker import FileBroker
from .conftest import Invoke


def stored(manager: StreamManager, stream_id: str = "news") -> list[Entry]:
    return read_all(manager.broker, stream_id)


def stored_data(manager: StreamManager) -> list[str]:
    return [entry.event.data for entry in stored(manager)]


def columns(line: str) -> list[str]:
    """The cells of a line of a table."""
    return re.split(r"\s{2,}", line)


# -- send


def test_send_prints_the_id_under_which_the_entry_is_stored(sse: StreamManager, invoke: Invoke) -> None:
    result = invoke("send", "news", "hello")
    (entry,) = stored(sse)
    assert (result.exit_code, result.stdout) == (0, f"{entry.id}\n")


def test_send_publishes_what_is_only_for_now(sse: StreamManager, invoke: Invoke) -> None:
    invoke("send", "news", "over", "--expires", "0")
    invoke("send", "news", "hello", "--expires", "600")
    assert [entry.event.data for entry in sse.history("news").entries] == ["hello"]


def test_send_gives_the_event_its_name_and_retry(sse: StreamManager, invoke: Invoke) -> None:
    invoke("send", "news", "hello", "--event", "greeting", "--retry", "5000")
    assert stored(sse)[0].event == Event("hello", "greeting", 5000)


def test_send_keeps_json_as_it_was_written(sse: StreamManager, invoke: Invoke) -> None:
    assert invoke("send", "news", '{"b": 1,  "a": 2}', "--json").exit_code == 0
    assert stored_data(sse) == ['{"b": 1,  "a": 2}']


@pytest.mark.parametrize("text", ["hello", "", "{", "NaN", "[" * 100_000])
def test_send_json_refuses_what_is_not_json(sse: StreamManager, invoke: Invoke, text: str) -> None:
    result = invoke("send", "news", text, "--json")
    assert (result.exit_code, stored(sse)) == (1, [])
    assert "Error: this is not JSON" in result.stderr


@pytest.mark.parametrize("args", [(), ("hello", "--stdin")], ids=["neither", "both"])
def test_send_takes_either_data_or_standard_input(
    sse: StreamManager, invoke: Invoke, args: Sequence[str]
) -> None:
    result = invoke("send", "news", *args)
    assert result.exit_code == 2
    assert "either DATA or --stdin" in result.stderr


# -- send --stdin


@pytest.mark.parametrize(
    ("written", "data"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"", []),
        ("ä\u2028ö\n".encode(), ["ä\u2028ö"]),
        (b"a\xffb\n", ["a\ufffdb"]),
        (b"a\0b\n", ["a\ufffdb"]),
    ],
    ids=["lines", "no last break", "crlf", "empty line", "nothing", "other breaks", "not utf-8", "nul"],
)
def test_each_line_of_standard_input_is_an_event(
    sse: StreamManager, invoke: Invoke, written: bytes, data: list[str]
) -> None:
    assert invoke("send", "news", "--stdin", input=written).exit_code == 0
    assert stored_data(sse) == data


def test_the_id_of_every_line_is_printed(sse: StreamManager, invoke: Invoke) -> None:
    result = invoke("send", "news", "--stdin", input=b"a\nb\nc\n")
    assert result.stdout.split() == [entry.id for entry in stored(sse)]


def test_a_character_that_spans_two_reads_stays_whole(sse: StreamManager, invoke: Invoke) -> None:
    text = "x" + "🎈" * 50_000
    invoke("send", "news", "--stdin", input=f"{text}\n".encode())
    assert stored_data(sse) == [text]


class CountingBroker(MemoryBroker):
    """Notes how many events came with each append."""

    def __init__(self) -> None:
        super().__init__(Limits(history=10_000))
        self.appended: list[int] = []

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        self.appended.append(len(events))
        return super().append(stream_id, events, idempotency_key=idempotency_key)


def test_lines_that_are_waiting_already_go_out_in_batches(app: Flask, invoke: Invoke) -> None:
    broker = CountingBroker()
    StreamManager(app, broker=broker)
    invoke("send", "news", "--stdin", input=b"x\n" * 1_200)
    assert broker.appended == [500, 500, 200]


def test_the_lines_before_one_that_is_refused_are_published(sse: StreamManager, invoke: Invoke) -> None:
    result = invoke("send", "news", "--stdin", "--json", input=b"1\n2\nthree\n4\n")
    assert (result.exit_code, stored_data(sse)) == (1, ["1", "2"])
    assert "line 3 of standard input" in result.stderr


def test_a_line_without_end_is_refused_and_not_collected(app: Flask, invoke: Invoke) -> None:
    StreamManager(app, max_event_bytes=1_000)
    result = invoke("send", "news", "--stdin", input=b"x" * 1_000_000)
    assert result.exit_code == 1
    assert "STREAMY_MAX_EVENT_BYTES" in result.stderr


# -- end


def test_end_ends_the_stream(sse: StreamManager, invoke: Invoke) -> None:
    assert invoke("end", "news").exit_code == 0
    assert sse.broker.read({"news": OLDEST}, 1)["news"].ended


def test_sending_to_an_ended_stream_is_an_error_in_one_line(sse: StreamManager, invoke: Invoke) -> None:
    sse.end_stream("news")
    result = invoke("send", "news", "hello")
    assert result.exit_code == 1
    assert result.stderr.endswith("Error: stream 'news' has ended and takes no more events\n")


# -- tail


def test_tail_writes_id_stream_name_and_data(sse: StreamManager, invoke: Invoke) -> None:
    first = sse.send_event("news", "hello", "greeting")
    second = sse.send_event("news", "again")
    sse.end_stream("news")
    assert invoke("tail", "news", "--all").stdout.splitlines() == [
        f"{first}\tnews\tgreeting\thello",
        f"{second}\tnews\tmessage\tagain",
    ]


def test_tail_writes_json_that_tells_everything(sse: StreamManager, invoke: Invoke) -> None:
    entry_id = sse.send_event("news", "a\nä", "greeting", retry=5000)
    line = invoke("tail", "news", "--all", "-n", "1", "--json").stdout
    assert json.loads(line) == {
        "id": entry_id,
        "stream": "news",
        "name": "greeting",
        "data": "a\nä",
        "retry": 5000,
    }


@pytest.mark.parametrize("data", ["a\nb", "a\rb", "a\tb", "a\x1b[31mb", "a\u2028b"], ids=ascii)
def test_an_entry_is_one_line_and_commands_no_terminal(sse: StreamManager, invoke: Invoke, data: str) -> None:
    sse.send_event("news", data)
    (line,) = invoke("tail", "news", "--all", "-n", "1").stdout.splitlines()
    assert line.split("\t")[3:] == [data.encode("unicode_escape").decode()]


def test_tail_escapes_what_the_output_cannot_show(sse: StreamManager, invoke: Invoke) -> None:
    sse.send_event("news", "ä🎈")
    result = invoke("tail", "news", "--all", "-n", "1", charset="ascii")
    assert result.stdout.endswith("\\xe4\\U0001f388\n")


def test_tail_goes_on_after_a_cursor(sse: StreamManager, invoke: Invoke) -> None:
    ids = sse.send_events("news", ["a", "b", "c"])
    sse.end_stream("news")
    lines = invoke("tail", "news", "--after", ids[0]).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ids[1:]


def test_tail_shows_a_gap(sse: StreamManager, invoke: Invoke) -> None:
    sse.send_event("news", "a")
    (line,) = invoke("tail", "news", "--after", "nowhere", "-n", "1").stdout.splitlines()
    assert line.split("\t")[2] == "streamy.gap"


def test_tail_of_several_streams_ends_when_all_have_ended(sse: StreamManager, invoke: Invoke) -> None:
    for stream_id in ("news", "weather"):
        sse.send_event(stream_id, f"of {stream_id}")
        sse.end_stream(stream_id)
    lines = invoke("tail", "news", "weather", "news", "--all").stdout.splitlines()
    assert sorted(line.split("\t")[1] for line in lines) == ["news", "weather"]


def test_tail_follows_live_entries_from_now_on(sse: StreamManager, invoke: Invoke) -> None:
    sse.send_event("news", "before")
    results = []
    thread = threading.Thread(target=lambda: results.append(invoke("tail", "news", "-n", "1")))
    thread.start()
    eventually(lambda: sse.health.streams, "tail reads")
    sse.send_event("news", "live")
    thread.join(DEADLINE)
    assert [line.split("\t")[3] for line in results[0].stdout.splitlines()] == ["live"]


@pytest.mark.parametrize(("options", "found"), [(["--last", "2"], "bc"), (["--since", "60"], "abc")])
def test_tail_begins_with_the_newest_entries(
    sse: StreamManager, invoke: Invoke, options: list[str], found: str
) -> None:
    sse.send_events("news", list("abc"))
    sse.end_stream("news")
    lines = invoke("tail", "news", *options).stdout.splitlines()
    assert [line.split("\t")[3] for line in lines] == list(found)


def test_tail_takes_one_start(sse: StreamManager, invoke: Invoke) -> None:
    assert invoke("tail", "news", "--all", "--after", "x").exit_code == 2
    assert invoke("tail", "news", "--last", "1", "--since", "1").exit_code == 2
    assert invoke("tail", "news", "--last", "0").exit_code == 2


# -- streams


def test_streams_lists_entries_last_id_and_end(sse: StreamManager, invoke: Invoke) -> None:
    _, last = sse.send_events("news", ["a", "b"])
    sse.end_stream("news")
    header, line = invoke("streams").stdout.splitlines()
    assert columns(header) == ["STREAM", "ENTRIES", "LAST ID", "ENDED"]
    assert columns(line) == ["news", "2", last, "yes"]


def test_streams_leaves_out_those_of_streamys_own(sse: StreamManager, invoke: Invoke) -> None:
    sse.send_event("news", "a")
    for name in (CONTROL, CONNECTIONS, f"{CANARY}7"):
        sse.broker.append(name, [Event("ours")])
    assert [columns(line)[0] for line in invoke("streams").stdout.splitlines()] == ["STREAM", "news"]


def test_streams_says_so_when_the_broker_cannot_list_them(app: Flask, invoke: Invoke, tmp_path: Path) -> None:
    StreamManager(app, broker=FileBroker(tmp_path / "log"))
    result = invoke("streams")
    assert (result.exit_code, result.stderr) == (1, "Error: FileBroker can't list its streams\n")


# -- the app and its managers


def test_a_named_manager_is_chosen_by_its_name(app: Flask, sse: StreamManager, invoke: Invoke) -> None:
    chat = StreamManager(app, name="chat")
    invoke("--manager", "chat", "send", "news", "hello")
    assert (stored_data(sse), stored_data(chat)) == ([], ["hello"])


def test_an_unknown_manager_is_an_error_that_lists_the_known(sse: StreamManager, invoke: Invoke) -> None:
    result = invoke("--manager", "chat", "send", "news", "hello")
    assert result.exit_code == 1
    assert "no StreamManager named 'chat'; it has default" in result.stderr


def test_an_app_without_a_manager_is_an_error_with_the_cure(invoke: Invoke) -> None:
    result = invoke("send", "news", "hello")
    assert result.exit_code == 1
    assert "init_app(app)" in result.stderr


@pytest.mark.parametrize(
    "args",
    [("send", "news", "hello"), ("end", "news"), ("tail", "news", "--all"), ("streams",)],
    ids=lambda args: args[0],
)
def test_a_broker_in_one_process_is_warned_of_with_the_cure(
    sse: StreamManager, invoke: Invoke, args: Sequence[str]
) -> None:
    if args[0] == "tail":
        sse.end_stream("news")
    result = invoke(*args)
    assert result.exit_code == 0
    said = ("Warning", "STREAMY_BROKER_URL", "redis://localhost:6379", "sqlite:////path/to/streams.db")
    assert [text for text in said if text not in result.stderr] == []


def test_a_shared_broker_is_not_warned_of(app: Flask, invoke: Invoke, tmp_path: Path) -> None:
    StreamManager(app, broker=FileBroker(tmp_path / "log"))
    assert invoke("send", "news", "hello").stderr == ""


class AwayBroker(FileBroker):
    def append(self, *args: Any, **kwargs: Any) -> list[str]:
        raise BrokerUnavailable("no answer from the backend")


def test_a_failure_to_publish_tells_what_the_backend_said(app: Flask, invoke: Invoke, tmp_path: Path) -> None:
    StreamManager(app, broker=AwayBroker(tmp_path / "log"), retry=NoRetry())
    result = invoke("send", "news", "hello")
    assert result.exit_code == 1
    assert result.stderr.endswith("given up after 1 attempt: no answer from the backend\n")


def test_where_an_app_logs_its_log_goes_on(
    app: Flask, invoke: Invoke, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    StreamManager(app, broker=AwayBroker(tmp_path / "log"), retry=FixedDelay(0.001, retries=3))
    invoke("send", "news", "hello")
    assert caplog.text.count("no answer from the backend") == 4


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.output == f"streamy, version {__version__}\n"


# -- backends


def install(site: Path, distribution: str, module: str) -> None:
    """Install a plug-in whose module is this text."""
    info = site / f"{distribution}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[streamy]\n{distribution} = {distribution}_plugin\n")
    (site / f"{distribution}_plugin.py").write_text(dedent(module))


def serving(scheme: str) -> str:
    return f"""\
        from streamy_core.broker import hookimpl

        @hookimpl
        def streamy_brokers():
            return {{"{scheme}": lambda url, options: None}}
        """


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for more distributions."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def backends_table() -> list[list[str]]:
    result = CliRunner().invoke(main, ["backends"])
    assert result.exit_code == 0
    return [columns(line) for line in result.stdout.splitlines()]


def test_backends_shows_scheme_distribution_and_version(site: Path) -> None:
    install(site, "carrier", serving("pigeon"))
    table = backends_table()
    assert table[0] == ["SCHEME", "DISTRIBUTION", "VERSION", "STATE"]
    assert ["pigeon", "carrier", "1.5", "ok"] in table


def test_backends_says_why_one_cannot_be_used(site: Path) -> None:
    install(site, "lame", "import no_such_driver")
    assert ["lame", "lame", "1.5", "broken: ModuleNotFoundError: No module named 'no_such_driver'"] in (
        backends_table()
    )


def test_backends_shows_who_else_claims_a_scheme(site: Path) -> None:
    install(site, "carrier", serving("pigeon"))
    install(site, "homing", serving("pigeon"))
    rows = [row for row in backends_table() if row[0] == "pigeon"]
    assert [row[3] for row in rows] == [
        "conflict: also claimed by homing 1.5; uninstall one of them",
        "conflict: also claimed by carrier 1.5; uninstall one of them",
    ]


def test_flask_streamy_backends_needs_no_manager(invoke: Invoke) -> None:
    assert "memory" in invoke("backends").stdout


# -- demo


def test_demo_is_run_as_the_options_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(demo, "run", lambda **arguments: given.update(arguments))
    args = ["--follow", str(tmp_path / "log"), "--host", "::1", "--port", "99", "--no-browser"]
    CliRunner().invoke(main, ["demo", *args, "--broker", "pigeon://"])
    assert given == {
        "host": "::1",
        "port": 99,
        "follow": tmp_path / "log",
        "open_browser": False,
        "broker": "pigeon://",
    }


def test_demo_opens_a_browser_unless_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(demo, "run", lambda **arguments: given.update(arguments))
    CliRunner().invoke(main, ["demo"])
    assert given["open_browser"] is True
