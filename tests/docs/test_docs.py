"""The documentation builds without a warning, and holds what it should."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DOCS

SHOWN = (".py", ".html", ".toml", ".txt")


@pytest.fixture(scope="module")
def built(docs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages. Fails at the first warning."""
    pages = tmp_path_factory.mktemp("html")
    options = ("-W", "--keep-going", "-q", "-b", "html")
    command = [sys.executable, "-m", "sphinx", *options, str(docs), str(pages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return pages


@pytest.mark.slow
def test_it_builds(built: Path) -> None:
    assert (built / "reference" / "api.html").exists()


def test_the_api_page_is_what_the_docstrings_say() -> None:
    check = [sys.executable, str(DOCS / "generate_api.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "module",
    [
        "streamy_core",
        "streamy_core.strategies",
        "streamy_core.observers",
        "streamy_core.broker",
        "streamy_core.testing",
        "streamy_backends.sql",
    ],
)
def test_every_public_name_is_on_the_api_page(module: str) -> None:
    page = (DOCS / "reference" / "api.md").read_text("utf-8")
    names = importlib.import_module(module).__all__
    assert [name for name in names if f"### `{module}.{name}`" not in page] == []


def test_every_example_is_shown_on_some_page(docs: Path) -> None:
    text = "".join(page.read_text("utf-8") for page in docs.rglob("*.md"))
    examples = [path for path in (docs / "examples").rglob("*") if path.suffix in SHOWN]
    assert [path.name for path in examples if path.name not in text] == []


# -- code that is in a page itself: `<!-- from: FILE; start: LINE; end: LINE -->` before a fence

COPY = re.compile(
    r"^<!-- from: (?P<file>[^;\n]+?)(?:; start: (?P<start>.+?))?(?:; end: (?P<end>.+?))? -->\n"
    r"(?P<fence>`{3,})\w+\n(?P<code>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)


def part_of(text: str, start: str | None, end: str | None) -> str:
    """The lines from the one that begins with `start` to the one before that which begins with `end`."""
    lines = text.splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if line.startswith(start)) if start else 0
    after = (n for n, line in enumerate(lines) if n > first and line.startswith(end or ""))
    last = next(after) if end else len(lines)
    return "".join(lines[first:last]).strip("\n") + "\n"


PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
COPIES = [(page, found) for page in PAGES for found in COPY.finditer(page.read_text("utf-8"))]


@pytest.mark.parametrize(
    ("page", "found"), COPIES, ids=[f"{page.stem}-{Path(found['file']).name}" for page, found in COPIES]
)
def test_code_in_a_page_is_the_example_that_is_tested(page: Path, found: re.Match[str]) -> None:
    example = (DOCS / found["file"]).read_text("utf-8")
    assert found["code"] == part_of(example, found["start"], found["end"])


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_reads_well_without_sphinx(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "[](" not in text
    assert text.count("<!-- from: ") == len([True for copied, _ in COPIES if copied == page])
    for hidden in ("literalinclude", "eval-rst", "autoclass"):
        assert hidden not in text, "what only Sphinx shows is nothing on the repository's own site"
