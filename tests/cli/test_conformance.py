"""`streamy conformance` tells, for any installed backend, which promises it keeps."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamy_core.cli import main
from streamy_core.testing import MakeBroker, SoakReport
from streamy_core.testing.soaking import Contradiction
from streamy_core.testing.soaking.history import Append, History

from .command import STREAMY

pytestmark = pytest.mark.slow

FORGETFUL = '''
from streamy_backends.memory import MemoryBroker
from streamy_core.broker import hookimpl


class ForgetfulBroker(MemoryBroker):
    """A repeated key stores once more."""

    def append(self, stream_id, events, *, idempotency_key=None):
        return super().append(stream_id, events)


@hookimpl
def streamy_brokers():
    return {"forgetful": lambda url, options: ForgetfulBroker()}
'''


def conformance(*args: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [STREAMY, "conformance", *args],
        env={**os.environ, "PYTHONPATH": str(path or "")},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.fixture
def plug_in(tmp_path: Path) -> Path:
    """Where the plug-in for forgetful: is installed."""
    info = tmp_path / "forgetful-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: forgetful\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[streamy]\nforgetful = forgetful\n")
    (tmp_path / "forgetful.py").write_text(FORGETFUL)
    return tmp_path


def test_a_backend_that_keeps_all_promises_is_told_so(tmp_path: Path) -> None:
    told = conformance(f"sqlite:///{tmp_path}/streams.db", "-k", "names or trimmed or storm")
    assert told.returncode == 0, told.stderr
    assert "kept       names are exact" in told.stdout
    assert "no bell is forgotten in a storm" in told.stdout
    assert ", 0 BROKEN, 0 not asked" in told.stdout


def test_a_broken_promise_is_named_with_what_happened(plug_in: Path) -> None:
    told = conformance("forgetful://", "-k", "repeated_key or names", path=plug_in)
    assert told.returncode == 1
    assert "BROKEN     a repeated key stores nothing and returns the same ids\n" in told.stdout
    assert "AssertionError" in told.stdout
    assert "kept       names are exact" in told.stdout


def test_what_a_backend_does_not_claim_is_not_asked_and_why_is_said() -> None:
    told = conformance("memory://", "-k", "every_process")
    assert "not asked  a key holds in every process\n" in told.stdout
    assert "shared = False" in told.stdout
    assert told.returncode == 1, "nothing that was asked was kept"


def test_a_url_that_can_not_be_is_refused_in_a_line() -> None:
    told = conformance("sqlight:///x.db")
    assert told.returncode == 1
    assert "did you mean sqlite://?" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_soak_of_a_sound_backend_finds_nothing_and_can_be_looked_at_again(tmp_path: Path) -> None:
    kept = tmp_path / "history.jsonl"
    told = conformance(f"sqlite:///{tmp_path}/streams.db", "--soak", "2", "--history-file", str(kept))
    assert told.returncode == 0, told.stdout + told.stderr
    assert "streams.db: 2 s, seed 7, 4 processes\n" in told.stdout
    assert " calls, and no contradiction\n" in told.stdout
    assert f"All calls are in {kept}: " in told.stdout
    again = conformance("--replay", str(kept))
    assert again.returncode == 0
    assert told.stdout.startswith(again.stdout)
    appends = [call for call in History.load(kept).calls if isinstance(call, Append)]
    assert len({append.who for append in appends}) > 4, "no writer was replaced"
    assert any(append.refused for append in appends), "nobody came after an end"


def test_a_contradiction_in_a_history_is_told_with_its_calls(tmp_path: Path) -> None:
    first = Append(who="w1", called=0, returned=1_000, stream="news", data=("a",), key="k", ids=("1",))
    calls = (first, replace(first, called=2_000, returned=3_000, ids=("2",)))
    History(about="by hand", rings_within=2.0, kept=None, calls=calls).save(tmp_path / "history")
    told = conformance("--replay", str(tmp_path / "history"))
    assert told.returncode == 1
    assert told.stdout.splitlines()[0] == "by hand"
    assert "the key 'k' was answered by 1 at 0.000001 s, but by 2 at 0.000003 s" in told.stdout
    assert "0.000002 s to 0.000003 s  w1: append 'a' under the key 'k' on 'news' -> 2\n" in told.stdout


def test_a_soak_that_finds_something_says_where_all_calls_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def found(make_broker: MakeBroker, *, about: str, history_file: Path, **how: object) -> SoakReport:
        history = History(about=about, rings_within=2.0, kept=None, calls=())
        return SoakReport(history, (Contradiction("it is torn\x1b[0m apart", ()),), history_file)

    monkeypatch.setattr("streamy_core.testing.soak", found)
    told = CliRunner().invoke(main, ["conformance", f"sqlite:///{tmp_path}/s.db", "--soak", "1"])
    assert told.exit_code == 1
    lines = told.output.splitlines()
    assert "it is torn\\x1b[0m apart" in lines
    kept = Path(lines[-1].removeprefix("All calls are in ").partition(":")[0])
    assert kept.is_file()
    kept.unlink()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "give either URL or --replay FILE"),
        (["memory://", "--replay", "x"], "give either URL or --replay FILE"),
        (["memory://", "--soak", "1", "-k", "x"], "a soak doesn't ask for one by one"),
        (["memory://", "--soak", "1"], "the broker says shared = False"),
        (["--replay", "missing"], "No such file or directory: 'missing'"),
    ],
)
def test_what_can_not_be_soaked_is_refused_in_a_line(given: list[str], words: str) -> None:
    told = CliRunner().invoke(main, ["conformance", *given])
    assert told.exit_code != 0
    assert words in told.output
    assert "Traceback" not in told.output
