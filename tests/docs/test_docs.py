"""The documentation builds without a warning, and holds what it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import streamy_core


@pytest.fixture(scope="module")
def built(docs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages. Fails at the first warning."""
    pages = tmp_path_factory.mktemp("html")
    options = ("-W", "--keep-going", "-q", "-b", "html")
    command = [sys.executable, "-m", "sphinx", *options, str(docs), str(pages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return pages


def test_it_builds_and_every_public_name_is_documented(built: Path) -> None:
    inventory = InventoryFile.loads((built / "objects.inv").read_bytes(), uri="")
    documented = {name for kind, names in inventory.data.items() if kind.startswith("py:") for name in names}
    assert {f"streamy_core.{name}" for name in streamy_core.__all__} <= documented
    others = {"streamy_core.signals.gap", "streamy_core.slow.Lag", "streamy_core.testing.BrokerContract"}
    assert others <= documented


def test_every_example_is_shown_on_some_page(docs: Path) -> None:
    text = "".join(page.read_text("utf-8") for page in docs.rglob("*.md"))
    examples = [path for path in (docs / "examples").rglob("*") if path.suffix in (".py", ".html", ".txt")]
    assert [path.name for path in examples if path.name not in text] == []
