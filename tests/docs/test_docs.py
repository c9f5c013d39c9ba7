"""The documentation builds without a warning, and holds what it should."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..support import ROOT
from .conftest import DOCS

SHOWN = (".py", ".html", ".toml", ".txt")
WIDTH = 100
GENERATED = re.DOTALL | re.MULTILINE


@pytest.mark.slow
def test_it_builds_without_a_warning(docs: Path, tmp_path: Path) -> None:
    options = ("-W", "--keep-going", "-q", "-b", "html")
    command = [sys.executable, "-m", "sphinx", *options, str(docs), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_example_is_shown_on_some_page(docs: Path) -> None:
    text = "".join(page.read_text("utf-8") for page in docs.rglob("*.md"))
    examples = [path for path in (docs / "examples").rglob("*") if path.suffix in SHOWN]
    assert [path.name for path in examples if path.name not in text] == []


PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
OWN_PAGES = [page for page in PAGES if "examples" not in page.parts]


@pytest.mark.slow
def test_no_page_is_stale() -> None:
    command = [sys.executable, str(DOCS / "generate.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stale_page_is_named_and_made_fresh(docs: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for name in ("generate.py", "api_entries.py"):
        (tmp_path / name).write_bytes((docs / name).read_bytes())
    (tmp_path / "one.py").write_text("def one():\n    return 1\n\n\ndef two():\n    return 2\n", "utf-8")
    page.write_text("Before.\n\n<!-- file: one.py; object: two -->\nold\n<!-- end -->\n\nAfter.\n", "utf-8")
    command = [sys.executable, "generate.py"]
    check = subprocess.run([*command, "--check"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (check.returncode, check.stdout) == (1, "page.md is stale\n")
    subprocess.run(command, cwd=tmp_path, check=True)
    block = "<!-- file: one.py; object: two -->\n```python\ndef two():\n    return 2\n```\n<!-- end -->"
    assert page.read_text("utf-8") == f"Before.\n\n{block}\n\nAfter.\n"


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_reads_well_without_sphinx(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "[](" not in text
    assert "```{literalinclude}" not in text
    assert "```{eval-rst}" not in text
    opened = re.findall(r"^<!-- (file|doc|api): ", text, re.MULTILINE)
    assert len(opened) == text.count("\n<!-- end -->")


@pytest.mark.parametrize("page", OWN_PAGES, ids=[page.stem for page in OWN_PAGES])
def test_prose_is_wrapped(page: Path) -> None:
    text = re.sub(r"^<!-- (?:file|doc|api): .*?<!-- end -->$", "", page.read_text("utf-8"), flags=GENERATED)
    text = re.sub(r"^(?P<fence>`{3,}).*?^(?P=fence)$", "", text, flags=GENERATED)
    lines = [line for line in text.splitlines() if not line.startswith("|") and " " in line.strip()]
    assert [line for line in lines if len(line) > WIDTH] == []
