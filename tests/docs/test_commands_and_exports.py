"""A command's output and an export, as the guide has them."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import psutil
import pytest

from streamy_core.testing.reading import eventually

from .conftest import Connect, Load, Serve

if TYPE_CHECKING:
    from playwright.sync_api import Page as BrowserPage

PRINTS = "import sys; print('one'); print('two', file=sys.stderr, flush=True); print('thr\\0ee', end='')"
SILENT = ["sh", "-c", "sleep 1000 & echo $!; wait"]
"""A command that writes the id of a process that it has started, and then nothing more."""


def output_of(connect: Connect, load: Load, command: list[str]) -> tuple[str, str]:
    """What is told of a command, and how it has ended."""
    example = load("command_output")
    example.COMMANDS["build"] = command
    url = example.app.test_client().post("/commands/build").json["stream"]
    client = connect(example.app, url)
    end = client.wait_for("streamy.end")
    text = "".join(entry.event.data for entry in example.sse.history(json.loads(end.data)["stream"]).entries)
    return text, json.loads(end.data)["outcome"]


def test_a_command_is_told_to_its_last_letter(load: Load, connect: Connect) -> None:
    text, outcome = output_of(connect, load, [sys.executable, "-u", "-c", PRINTS])
    assert (text, outcome) == ("one\ntwo\nthr\ufffdee", "done")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("command", [["false"], ["/nowhere/at/all"]])
def test_a_command_that_fails_is_told_so(load: Load, connect: Connect, command: list[str]) -> None:
    assert output_of(connect, load, command) == ("", "failed")
    # Its thread raises after the end was told: no other test is to be told of that.
    eventually(lambda: not [one for one in threading.enumerate() if "publish_output" in one.name], "its end")


def test_a_command_that_is_stopped_ends_with_what_it_has_started(load: Load, connect: Connect) -> None:
    example = load("command_output")
    example.COMMANDS["build"] = SILENT
    client = example.app.test_client()
    url = client.post("/commands/build").json["stream"]
    reader = connect(example.app, url)
    (first,) = reader.events(1)
    child = psutil.Process(int(first.data))
    assert client.delete(url).status_code == 202
    assert json.loads(reader.wait_for("streamy.end").data)["outcome"] == "stopped"
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "its end")


def test_only_commands_that_are_listed_are_run(load: Load) -> None:
    client = load("command_output").app.test_client()
    assert client.post("/commands/ls").status_code == 404


def test_an_export_that_is_cancelled_leaves_no_file(
    load: Load, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    example = load("export")
    client = example.app.test_client()
    url = client.post("/exports").json["stream"]
    reader = connect(example.app, url)
    reader.events(1)
    assert client.delete(url).status_code == 202
    assert json.loads(reader.wait_for("streamy.end").data)["outcome"] == "stopped"
    eventually(lambda: list(example.FOLDER.iterdir()) == [], "nothing left")
    assert client.get(f"{url}.csv").status_code == 404
    assert client.get("/exports/nobodys").status_code == 404


@pytest.mark.slow
def test_an_export_is_cancelled_begun_again_and_downloaded(
    gunicorn: Serve, browser_page: BrowserPage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    browser_page.goto(gunicorn("export:app"))
    browser_page.click("#begin")
    browser_page.wait_for_selector("#bar[value]")
    browser_page.click("#cancel")
    browser_page.wait_for_selector("#status:text-is('Cancelled.')")
    browser_page.click("#begin:text-is('Try again')")
    browser_page.wait_for_selector("#bar[value]")
    browser_page.reload()
    browser_page.wait_for_selector("#link")  # on a busy machine it is done before the page is there again
    browser_page.wait_for_selector("#begin:text-is('Export')")
    assert browser_page.locator("#bar").get_attribute("value") == "150"
    with urlopen(browser_page.evaluate("document.getElementById('link').href")) as answer:
        assert answer.read().splitlines()[-1] == b"149,order 149"
