"""`flask streamy top`: what all processes do, as a picture and as JSON, called in this process."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from click.testing import Result
from flask import Flask
from rich.console import Console

from streamy_core import BrokerUnavailable, Event, StreamManager
from streamy_core.cli import flask_commands
from streamy_core.cli.top import command
from streamy_core.cli.top.picture import Picture
from streamy_core.cli.top.view import View, rate, size, span, took
from streamy_core.events import SUMMARIES
from streamy_core.overview import GroupSummary, Process, Rates, RunSummary, StreamSummary, Summary, Wrong

from ..docs.conftest import DOCS

ANSI: Final = re.compile("\x1b")
HOSTILE: Final = "[red]room[/red]\x1b[31m\u202e:rocket:" * 8


def summary(pid: int = 1, **told: Any) -> Summary:
    now = time.time()
    known = {"process": f"web:{pid}:x", "host": "web", "pid": pid, "manager": "default", "every": 5.0}
    return Summary(**{**known, "at": now, "since": now - 3_723, **told})


def process(pid: int = 1, rates: Rates | None = None, **told: Any) -> Process:
    return Process(summary(pid, **told), rates or Rates(), 1.0)


def drawn(*processes: Process, width: int = 80, height: int | None = None, trouble: str = "") -> list[str]:
    """The lines of the picture, without colours."""
    console = Console(file=io.StringIO(), width=width, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(Picture(View(processes, time.time()), "shop", trouble=trouble, height=height))
    return [line.rstrip() for line in captured.get().splitlines()]


def row(lines: list[str], first: str) -> str:
    """The row that begins so, with single spaces."""
    (found,) = [line for line in lines if line.startswith(first)]
    return " ".join(found.split())


# -- the picture


def test_it_has_a_row_for_each_process() -> None:
    lines = drawn(
        process(
            7,
            Rates(published=6.04, delivered=6_170),
            clients={"detached": 600, "wsgi": 17},
            watched=28,
            bell_seconds=0.004,
            loop_lag=1.5,
            gaps={"trimmed": 2, "skipped": 1},
            slow=4,
            turned_away={"busy": 5},
        ),
        process(8),
    )
    assert row(lines, "7 web") == "7 web 1h 2m 617 28 6.0 6,170 4 ms 1500 ms 3 4 5"
    assert row(lines, "8 web") == "8 web 1h 2m 0 0 0 0 - - 0 0 0"


def test_it_adds_up_what_all_processes_do() -> None:
    both = [
        process(
            pid,
            Rates(published=2.0, delivered=1_000, bytes=2_048, cpu=0.25),
            clients={"detached": 10, "wsgi": 1},
            gaps={"trimmed": 1},
            turned_away={"busy": 2, "key": 1},
            groups={"room": GroupSummary(clients=9), "none": GroupSummary(clients=2)},
            streams=(StreamSummary("news", 2), StreamSummary("room:1", 9)),
        )
        for pid in (1, 2)
    ]
    lines = drawn(*both)
    assert "2 processes, 22 clients (20 detached, 2 wsgi)" in lines
    assert "a second: 4.0 events published, 2,000 delivered, 4 KiB; 0.50 cores" in lines
    assert "gaps: 2 trimmed" in lines
    assert "turned away: 4 busy, 2 key" in lines
    assert row(lines, "room ") == "room 18 room:1 18"
    assert row(lines, "none ") == "none 4 news 4"


def test_it_says_how_many_runs_go_on() -> None:
    assert "2 processes, 0 clients, 1,204 runs" in drawn(process(1, running=4), process(2, running=1_200))
    assert "1 process, 0 clients, 1 run" in drawn(process(running=1))


def test_what_is_not_ready_is_named_with_what_is_wrong_and_for_how_long() -> None:
    lines = drawn(process(1), process(2, wrong=(Wrong("bell", 75.0), Wrong("loop", 3.0))))
    assert "NOT READY: 2 web: bell for 1m 15s, loop for 3s" in lines
    rows = [line.split()[0] for line in lines if re.match(r"\d web ", line)]
    assert rows == ["2", "1"]


def test_who_should_have_told_something_is_named() -> None:
    lines = drawn(
        process(1), Process(summary(2, every=2.0), Rates(), 4.1), Process(summary(3, every=2.0), Rates(), 3.9)
    )
    assert [line for line in lines if "SILENT" in line] == ["SILENT: 2 web"]


def test_a_manager_with_a_name_has_it_in_its_row() -> None:
    assert row(drawn(process(3, manager="audit")), "3 web").startswith("3 web audit ")


def test_what_keeps_it_from_knowing_more_is_told() -> None:
    assert "nothing new is known: away" in drawn(process(), trouble="nothing new is known: away")
    assert "No process has told anything yet." in drawn()


CROWD: Final = tuple(
    process(
        pid,
        clients={"detached": 123_456},
        host="a-host-with-a-name-that-is-far-too-long.example.internal",
        groups={HOSTILE: GroupSummary(1)} | {f"group{n}": GroupSummary(n) for n in range(20)},
        streams=(StreamSummary(HOSTILE, 3), *(StreamSummary(f"s{n}", n) for n in range(20))),
        wrong=(Wrong(HOSTILE, 1e9),) if pid % 2 else (),
        gaps={HOSTILE: 10**9},
    )
    for pid in range(12)
)


@pytest.mark.parametrize("width", [80, 132])
@pytest.mark.parametrize("height", [16, 24, 30, 60, None])
def test_it_fits_and_others_texts_break_out_of_nothing(width: int, height: int | None) -> None:
    lines = drawn(*CROWD, width=width, height=height)
    assert max(map(len, lines)) <= width
    assert height is None or len(lines) <= height
    assert all(line.isprintable() for line in lines)
    assert any("[red]room" in line for line in lines)


def test_where_there_is_little_room_those_that_are_not_ready_are_shown_first() -> None:
    lines = drawn(*CROWD, height=18)
    shown = [line.split()[0] for line in lines if re.match(r"\d+ a-host", line)]
    assert shown == ["1", "3", "5", "7", "9"]
    assert {"NOT READY: 1 more", "and 7 more"} <= set(lines)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (span(0), "0s"),
        (span(59.6), "1m 0s"),
        (span(3_600 * 26), "1d 2h"),
        (rate(0), "0"),
        (rate(0.25), "0.2"),
        (rate(1_234.5), "1,234"),
        (size(1_023), "1023 B"),
        (size(3 * 2**40), "3,072.0 GiB"),
        (took(None), "-"),
        (took(0.0004), "0 ms"),
        (took(12.4), "12 s"),
    ],
)
def test_numbers_are_short(told: str, shown: str) -> None:
    assert told == shown


# -- the command


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = Flask("shop")
    app.config["STREAMY_BROKER_URL"] = f"sqlite:///{tmp_path}/streams.db"
    app.config["STREAMY_OVERVIEW"] = "loopback"
    return app


@pytest.fixture
def sse(app: Flask) -> Iterator[StreamManager]:
    with closing(StreamManager(app)) as manager:
        yield manager


@pytest.fixture
def tell(sse: StreamManager) -> Callable[[Summary], object]:
    """Tells, as another process does."""
    return lambda told: sse.broker.append(SUMMARIES, [Event(told.as_text())])


def top(app: Flask, *options: str) -> Result:
    return app.test_cli_runner().invoke(flask_commands, ["top", *options])


Tell = Callable[[Summary], object]


def test_once_prints_one_picture_without_colours(app: Flask, tell: Tell) -> None:
    tell(summary(7, clients={"detached": 3}))
    result = top(app, "--once")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "1 process, 3 clients (3 detached)" in result.stdout
    assert not ANSI.search(result.stdout)


def test_where_there_is_no_terminal_it_prints_one_picture_too(app: Flask, tell: Tell) -> None:
    tell(summary(7))
    assert "1 process, 0 clients" in top(app).stdout
    tell(summary(8, clients={"wsgi": 1}))
    assert "2 processes, 1 client (1 wsgi)" in top(app).stdout


def test_rates_are_there_at_once_where_a_process_has_told_twice(app: Flask, tell: Tell) -> None:
    now = time.time()
    tell(summary(7, at=now - 5, published=100))
    tell(summary(7, at=now, published=150))
    assert "a second: 10 events published" in top(app, "--once").stdout


def test_it_ends_with_1_if_a_process_is_not_ready(app: Flask, tell: Tell) -> None:
    tell(summary(7))
    tell(summary(8, wrong=(Wrong("bell", 3.0),)))
    assert top(app, "--once").exit_code == 1
    result = top(app, "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["ready"]) == (1, False)
    assert {each["pid"]: each["ready"] for each in told["processes"]} == {7: True, 8: False}


def test_it_ends_with_2_if_none_is_heard_of_in_time(app: Flask, sse: StreamManager) -> None:
    result = top(app, "--once", "--json", "--within", "0.1")
    assert (result.exit_code, json.loads(result.stdout)["processes"]) == (2, [])
    assert "no process has told anything within 0.1 s" in result.stderr


def test_one_that_has_said_goodbye_is_there_no_more(app: Flask, tell: Tell) -> None:
    tell(summary(7))
    tell(summary(7, bye=True))
    assert top(app, "--json", "--within", "0").exit_code == 2


def test_to_look_is_to_tell_nothing_of_itself(app: Flask, tell: Tell) -> None:
    tell(summary(7))
    for _ in range(2):
        assert len(json.loads(top(app, "--json").stdout)["processes"]) == 1


def test_the_shape_of_the_json_is_that_of_the_reference(app: Flask, tell: Tell) -> None:
    tell(
        summary(
            7,
            wrong=(Wrong("bell", 3.0),),
            streams=(StreamSummary("a"),),
            groups={"room": GroupSummary()},
            runs=(RunSummary("chat:1"),),
        )
    )
    told = json.loads(top(app, "--json").stdout)
    page = (DOCS / "reference" / "commands.md").read_text("utf-8")
    (shown,) = re.findall(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert keys(json.loads(shown)) == keys(told)


OTHERS: Final = ("versions", "clients", "waiting", "closed", "gaps", "turned_away", "dropped")
"""Whose names aren't ours to know."""


def keys(value: Any) -> Any:
    """The names in it, however deep."""
    if isinstance(value, list):
        return [keys(item) for item in value[:1]]
    if not isinstance(value, dict):
        return None
    return {name: None if name in OTHERS else keys(item) for name, item in value.items()}


# -- what is wrong is said


def error(app: Flask, *options: str) -> str:
    result = top(app, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def test_a_broker_in_memory_is_refused(app: Flask) -> None:
    app.config["STREAMY_BROKER_URL"] = "memory://"
    with StreamManager(app):
        assert "this broker's streams are one process's" in error(app)


def test_an_overview_that_is_off_is_named_with_the_setting(app: Flask) -> None:
    app.config["STREAMY_OVERVIEW"] = None
    with StreamManager(app):
        assert 'set STREAMY_OVERVIEW = "loopback"' in error(app, "--once")


@pytest.mark.parametrize("options", [("--once",), ("--json",), ()], ids=str)
def test_a_broker_that_is_away_is_an_error(app: Flask, options: tuple[str, ...]) -> None:
    app.config["STREAMY_BROKER_URL"] = "redis://127.0.0.1:1"
    with StreamManager(app):
        assert "127.0.0.1:1" in error(app, *options)


def test_what_passes_is_told_on_the_screen_until_it_has_passed(
    app: Flask, sse: StreamManager, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_EVERY", 0.0)
    tell(summary(7))
    seen = command.Top(sse.binding, "shop")
    seen.wait()

    def away(*_: Any, **__: Any) -> Any:
        raise BrokerUnavailable("the database is away")

    def shown() -> str:
        console = Console(file=io.StringIO(), width=80)
        with console.capture() as captured:
            console.print(seen.picture(24))
        return captured.get()

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(sse.broker, "read", away)
        seen.wait()
        assert "nothing new is known: the database is away" in shown()
        assert "7 web" in shown()
    seen.wait()
    assert "nothing new" not in shown()


def test_a_password_in_the_url_is_not_shown(app: Flask, sse: StreamManager) -> None:
    settings = replace(sse.binding.settings, broker_url="redis://user:secret@127.0.0.1/0")
    monkey = SimpleNamespace(broker=sse.broker, settings=settings, engine=sse.binding.engine)
    title = command.Top(cast(Any, monkey), "shop")._title
    assert "127.0.0.1" in title
    assert "secret" not in title


def test_a_library_that_is_missing_is_named_with_the_command_and_json_needs_none(
    app: Flask, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(summary(7))
    monkeypatch.setitem(sys.modules, "rich", None)
    assert "pip install 'streamy-sse[top]'" in error(app, "--once")
    assert top(app, "--json").exit_code == 0
