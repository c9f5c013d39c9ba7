"""The reference says what the code says."""

from __future__ import annotations

import inspect
import json
import re
from importlib import import_module
from pathlib import Path

import click
import pytest
from blinker import NamedSignal
from click.testing import CliRunner

from streamy_core import END, GAP, Entry, Event, StreamManager, StreamyError
from streamy_core.cli import flask_commands, main
from streamy_core.config import known_keys
from streamy_core.engine.frames import Frame, Framing, end_frame, gap_frame
from streamy_core.ids import join_cursors, make_id
from streamy_core.observers import GapCause
from streamy_core.wire import KEEP_ALIVE, encode_body, encode_id, encode_last, encode_opening


def blocks(page: Path) -> list[str]:
    """The code blocks of a page."""
    return re.findall(r"^```text\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_the_table_of_keys_is_complete_and_right(docs: Path) -> None:
    page = (docs / "reference" / "configuration.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `STREAMY_")]
    assert rows == [f"| `{key.name}` | `{key.default!r}` | {key.doc} |" for key in known_keys()]


COMMANDS = [
    (group, root, name)
    for group, root in ((main, "streamy"), (flask_commands, "flask streamy"))
    for name in ("", *group.commands)
]


@pytest.mark.parametrize(
    ("group", "root", "name"), COMMANDS, ids=[f"{root} {name}" for _, root, name in COMMANDS]
)
def test_the_help_of_every_command_is_there(docs: Path, group: click.Command, root: str, name: str) -> None:
    arguments = [name, "--help"] if name else ["--help"]
    shown = CliRunner().invoke(group, arguments, prog_name=root, terminal_width=80).output
    assert shown in blocks(docs / "reference" / "commands.md")


def test_no_other_help_is_there(docs: Path) -> None:
    helps = [block for block in blocks(docs / "reference" / "commands.md") if block.startswith("Usage: ")]
    assert len(helps) == len(COMMANDS)


def tree(error: type[BaseException], depth: int = 0) -> str:
    others = [base.__name__ for base in error.__bases__ if not issubclass(base, StreamyError)]
    also = f" (also a {', '.join(others)})" if depth and others else ""
    line = f"{'    ' * depth}{error.__name__}{also}\n"
    children = [child for child in error.__subclasses__() if child.__module__ == error.__module__]
    return line + "".join(tree(child, depth + 1) for child in sorted(children, key=line_of))


def line_of(error: type) -> int:
    return inspect.getsourcelines(error)[1]


def test_the_tree_of_errors_is_the_real_one(docs: Path) -> None:
    assert tree(StreamyError) in blocks(docs / "reference" / "errors.md")


def test_every_error_is_explained(docs: Path) -> None:
    page = (docs / "reference" / "errors.md").read_text("utf-8")
    names = re.findall(r"\w+", tree(StreamyError))
    assert {name for name in names if f"`{name}`" not in page} <= {"also", "a", "ValueError", "RuntimeError"}


# -- wire


def frame(docs: Path, name: str) -> bytes:
    return (docs / "examples" / "frames" / f"{name}.txt").read_bytes()


ID = make_id("k3Jx0", 5, "pQ7")
CURSORS = {"news": ID, "user:42": make_id("k3Jx0", 2, "0aB")}


def test_the_frames_are_what_is_sent(docs: Path) -> None:
    event = Event("first line\r\nsecond line", "greeting", 5_000)
    assert frame(docs, "opening") == encode_opening(make_id("k3Jx0", 4, "Zz1"), 3_000, 30)
    assert frame(docs, "event") == encode_id(ID) + encode_body(event)
    assert frame(docs, "keep-alive") == KEEP_ALIVE
    assert frame(docs, "come-back") == encode_last(2_714)
    joint = Frame(Entry(ID, "news", event), encode_body(Event("hello")))
    assert frame(docs, "joint") == joint.encode(join_cursors(CURSORS), Framing())
    assert frame(docs, "stream") == joint.encode(join_cursors(CURSORS), Framing(tells_streams=True))


def test_the_frame_of_a_gap_and_of_the_end_are_what_is_sent(docs: Path) -> None:
    last = make_id("k3Jx0", 9, "d-1")
    lost = gap_frame("news", ID, last, GapCause.TRIMMED)
    assert frame(docs, "gap") == lost.encode(last, Framing())
    end = make_id("k3Jx0", 10, "Nn0")
    ended = end_frame("news", end)
    told = re.sub(rb"retry: [0-9]+", b"retry: 34817", ended.encode(end, Framing(), last=True))
    assert frame(docs, "end") == told
    assert (lost.entry.event.name, ended.entry.event.name) == (GAP, END)
    assert json.loads(ended.entry.event.data) == {"stream": "news"}


def test_the_headers_are_what_is_sent(docs: Path) -> None:
    sse = StreamManager()
    response = sse.get_stream("news")
    shown = "".join(f"{name}: {value}\n" for name, value in response.get_wsgi_headers({}).items())
    assert shown in blocks(docs / "reference" / "wire.md")
    response.close()
    sse.close()


# -- api


@pytest.mark.parametrize(
    "module",
    [
        "streamy_core",
        "streamy_core.strategies",
        "streamy_core.signals",
        "streamy_core.observers",
        "streamy_core.observers.metrics",
        "streamy_core.observers.metrics.prometheus",
        "streamy_core.observers.metrics.opentelemetry",
        "streamy_core.overview",
        "streamy_core.broker",
        "streamy_core.options",
        "streamy_core.plugins",
        "streamy_core.testing",
        "streamy_backends.sql",
    ],
)
def test_every_public_name_has_its_place(docs: Path, module: str) -> None:
    page = (docs / "reference" / "api.md").read_text("utf-8")
    section = page.partition(f"\n## `{module}`\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", section))
    assert {name for name in public_names(module) if name not in named} == set()


def public_names(module: str) -> list[str]:
    """What a module's `__all__` names; where it has none, what it defines itself."""
    loaded = import_module(module)
    signals_or_own = (
        name
        for name, value in vars(loaded).items()
        if isinstance(value, NamedSignal) or (callable(value) and value.__module__ == module)
    )
    public = (name for name in signals_or_own if not name.startswith("_"))
    return [*getattr(loaded, "__all__", public)]
