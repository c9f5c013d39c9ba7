"""The drawing of the layers is what the import contracts hold."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from .conftest import DOCS

ROOT = Path(__file__).parents[2]


def drawn() -> list[str]:
    page = (DOCS / "explanation" / "architecture.md").read_text("utf-8")
    layers = page.partition("\n## Layers\n")[2]
    found = re.search(r"^```text\n(.*?)^```$", layers, re.DOTALL | re.MULTILINE)
    assert found
    return found[1].splitlines()


def held() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = [found for found in contracts if found.get("containers") == ["streamy_core"]]
    layers: list[str] = contract["layers"]
    return layers


def test_the_layers_are_drawn_as_they_are_held() -> None:
    assert drawn() == held()


def test_every_module_of_the_core_is_in_a_layer() -> None:
    core = ROOT / "streamy_core"
    modules = {path.stem for path in core.glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in core.glob("*/__init__.py")}
    named = {name.strip() for layer in held() for name in layer.split("|")}
    assert modules | folders == named
