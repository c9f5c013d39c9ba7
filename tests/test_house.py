"""The house rules, as far as tools can hold them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        pytest.param(("mypy",), marks=pytest.mark.slow),
        ("importlinter.cli", "lint_imports_command"),
    ],
    ids=["style", "format", "types", "imports run one way"],
)
def test_the_tools_have_nothing_to_say(command: tuple[str, ...]) -> None:
    module, *arguments = command
    if module == "importlinter.cli":
        call = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    else:
        call = [sys.executable, "-m", module, *arguments]
    result = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("package", ["streamy_core", "streamy_backends"])
def test_files_stay_short(package: str) -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in (ROOT / package).rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert not long


def test_nothing_else_lies_at_the_top() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout: nothing says which files belong here")
    top = {name.split("/")[0] for name in tracked.stdout.splitlines()}
    assert top <= {
        "streamy_core", "streamy_backends", "tests", "docs", "pyproject.toml", "noxfile.py", "README.md",
        ".ci", ".gitignore", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
    }  # fmt: skip
