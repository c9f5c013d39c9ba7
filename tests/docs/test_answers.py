"""Answers of a model as the guide has them: the order of their parts, and what the protocols' clients get."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from streamy_core import RunEnd, RunOutcome, StreamManager

from ..support import ROOT
from ..support.requirements import find_program, go_without
from .conftest import EXAMPLES, Load, Serve

ANSWERS = EXAMPLES / "answers"
NODE = ROOT / "tests" / "browser" / "node"
REPLY = "You asked: why? "


@pytest.fixture
def example(load: Load, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Loads a module of the guide: they import each other by their names."""
    monkeypatch.syspath_prepend(ANSWERS)
    before = set(sys.modules)
    yield lambda name: load(f"answers/{name}")
    for name in set(sys.modules) - before:
        del sys.modules[name]


def types_of(parts: Iterable[dict[str, Any]]) -> list[str]:
    """The types of parts; of several of one type in a row, one."""
    return [kind for kind, _ in groupby(part["type"] for part in parts)]


def texts(*given: str, error: Exception | None = None) -> Iterator[str]:
    yield from given
    if error:
        raise error


# -- a model's events


def test_the_texts_of_a_response_are_all_that_it_says(example: Callable[[str], Any]) -> None:
    mapping, model = example("mapping"), example("model")
    assert "".join(mapping.texts_of_response(model.create_response("why?"))) == REPLY
    assert "".join(mapping.texts_of_chat(model.create_chat("why?"))) == REPLY


def test_a_response_that_fails_raises_what_the_model_says(example: Callable[[str], Any]) -> None:
    mapping, model = example("mapping"), example("model")
    with pytest.raises(mapping.ModelFailed, match="the model is overloaded"):
        list(mapping.texts_of_response(model.create_response("please fail")))


@pytest.mark.parametrize("kind", ["response", "chat"])
def test_who_reads_no_further_closes_the_models_stream(example: Callable[[str], Any], kind: str) -> None:
    mapping, model = example("mapping"), example("model")
    events = getattr(model, f"create_{kind}")("why?")
    parts = mapping.ui_message(getattr(mapping, f"texts_of_{kind}")(events), "m")
    while next(parts)["type"] != "text-delta":
        pass
    parts.close()
    assert next(events, None) is None


# -- the order of parts


def test_a_ui_message_has_its_parts_in_order(example: Callable[[str], Any]) -> None:
    mapping = example("mapping")
    parts = [*mapping.ui_message(texts("a", "b"), "m"), *mapping.ui_message_end(RunEnd(RunOutcome.DONE))]
    assert types_of(parts) == [
        "start", "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish",
    ]  # fmt: skip
    assert [part.get("delta") for part in parts[3:5]] == ["a", "b"]
    assert {part["id"] for part in parts[2:6]} == {"text"}


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (RunEnd(RunOutcome.STOPPED), {"type": "abort"}),
        (RunEnd(RunOutcome.LOST), {"type": "error", "errorText": "The answer is lost."}),
        (RunEnd(RunOutcome.FAILED, "Later."), {"type": "error", "errorText": "Later."}),
    ],
)
def test_a_ui_message_says_how_it_has_ended(
    example: Callable[[str], Any], end: RunEnd, last: dict[str, str]
) -> None:
    assert list(example("mapping").ui_message_end(end)) == [last]


OPEN = ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]
CLOSED = [*OPEN, "TEXT_MESSAGE_END"]


def test_a_run_of_ag_ui_has_its_events_in_order(example: Callable[[str], Any]) -> None:
    mapping = example("mapping")
    events = [*mapping.ag_ui_events(texts("a", "", "b"), "t", "r")]
    events += mapping.ag_ui_end(RunEnd(RunOutcome.DONE), types_of(events), "t", "r")
    assert types_of(events) == [*CLOSED, "RUN_FINISHED"]
    assert [event["delta"] for event in events if "delta" in event] == ["a", "b"]
    assert {event["messageId"] for event in events[1:-1]} == {"r"}


@pytest.mark.parametrize(
    ("outcome", "seen", "rest"),
    [
        (RunOutcome.STOPPED, [], ["RUN_STARTED", "RUN_FINISHED"]),
        (RunOutcome.STOPPED, OPEN, ["TEXT_MESSAGE_END", "RUN_FINISHED"]),
        (RunOutcome.STOPPED, CLOSED, ["RUN_FINISHED"]),
        (RunOutcome.STOPPED, [*CLOSED, "RUN_FINISHED"], []),
        (RunOutcome.LOST, OPEN, ["RUN_ERROR"]),
        (RunOutcome.FAILED, [], ["RUN_ERROR"]),
        (RunOutcome.LOST, [*CLOSED, "RUN_FINISHED"], []),
    ],
)
def test_a_run_of_ag_ui_closes_what_is_open_and_says_how_it_has_ended(
    example: Callable[[str], Any], outcome: RunOutcome, seen: list[str], rest: list[str]
) -> None:
    events = list(example("mapping").ag_ui_end(RunEnd(outcome), seen, "t", "r"))
    assert [event["type"] for event in events] == rest
    if rest and outcome is RunOutcome.STOPPED:
        assert events[-1]["outcome"] == {"type": "cancelled"}


# -- on a server


def test_a_plain_answer_is_of_data_alone_and_ends_with_done(example: Callable[[str], Any]) -> None:
    client = example("chat").app.test_client()
    message = {"id": "1", "role": "user", "parts": [{"type": "text", "text": "why?"}]}
    answer = client.post("/api/chat", json={"id": "c", "messages": [message]})
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert answer.mimetype == "text/event-stream"
    *parts, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert types_of(json.loads(part.removeprefix("data: ")) for part in parts)[-1] == "finish"
    assert client.get("/api/chat/c/stream").status_code == 204


def test_a_plain_answer_whose_beginning_is_kept_no_more_is_told_as_lost(
    example: Callable[[str], Any],
) -> None:
    plain, mapping = example("plain").plain, example("mapping")
    with StreamManager(broker="memory://?history=4") as sse:
        sse.start_run("answer:1", ([part] for part in mapping.ui_message(texts(*"abc"), "m"))).wait(5)
        frames = list(plain(sse, "answer:1", lambda end, seen: mapping.ui_message_end(end)).response)
    assert frames == ['data: {"type": "error", "errorText": "The answer is lost."}\n\n']


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A folder with the guide's modules, and the packages that they import."""
    if not (NODE / "node_modules" / "ai").is_dir():
        go_without("the packages are missing: npm install --prefix tests/browser/node")
    packages = tmp_path / "node_modules"
    packages.mkdir()
    for name in ("@ag-ui", "rxjs"):
        (packages / name).symlink_to(NODE / "node_modules" / name)
    (packages / "streamy").symlink_to(ROOT / "streamy_core" / "browser")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for module in (ANSWERS / "static").iterdir():
        (tmp_path / module.name).write_bytes(module.read_bytes())
    return tmp_path


def heard_in_node(kind: str, address: str, modules: Path) -> dict[str, Any]:
    node = find_program("node", []) or go_without("there is no node")
    command = [node, str(NODE / "answers.mjs"), kind, address, str(modules)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_the_ai_sdk_has_answers_that_outlive_a_reload_fail_and_are_stopped(
    gunicorn: Serve, modules: Path
) -> None:
    heard = heard_in_node("chat", gunicorn("chat:app", cwd=ANSWERS, threads=8), modules)
    reply = "You asked: does it go on" + " and on" * 40 + " "
    for by in ("streamy", "plain"):
        assert heard[by]["answered"] == [REPLY, "ready"]
        assert heard[by]["failed"] == ["You asked: please ", "The model can't answer now."]
        assert heard[by]["reloaded"] == [[reply, "ready"]] * 2
        assert heard[by]["later"] == ["", "ready"], "an answer that is whole is not told again"
    assert heard["streamy"]["stopped"] == [True, "ready"]


@pytest.mark.slow
def test_ag_uis_clients_have_answers_and_stop_them(gunicorn: Serve, modules: Path) -> None:
    heard = heard_in_node("agent", gunicorn("agent:app", cwd=ANSWERS), modules)
    assert heard["streamy"] == {"answered": [REPLY, "success"], "stopped": "cancelled"}
    assert heard["plain"] == {"answered": [REPLY, "success"]}
