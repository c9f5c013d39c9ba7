"""The page on the architecture shows the layers that `lint-imports` checks, and every folder."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ..support import ROOT

Layers = list[frozenset[str]]
"""From the top down: the parts that stand beside one another in each layer."""


@pytest.fixture(scope="module")
def page(docs: Path) -> str:
    return (docs / "explanation" / "architecture.md").read_text("utf-8")


def contracted() -> dict[str, Layers]:
    """The layers of each package, by the contracts in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return {
        package: [frozenset(layer.split(" | ")) for layer in contract["layers"]]
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
        for package in contract["containers"]
    }


def drawn(page: str) -> dict[str, Layers]:
    """The layers of each package, by the page's drawings: its name, and a row of cells for each layer."""
    layers: dict[str, Layers] = {}
    for drawing in re.findall(r"^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        package = ""
        for line in drawing.splitlines():
            if line.startswith("│"):
                cells = line.split("│")[1:-1]  # what stands to the right of the last is a remark
                layers[package].append(frozenset(cell.strip() for cell in cells))
            elif re.fullmatch(r"[a-z_.]+", line):
                package = line
                layers[package] = []
    return layers


def test_the_drawings_show_the_layers_of_the_contracts(page: str) -> None:
    assert drawn(page) == contracted()


def test_every_module_of_the_core_is_in_a_layer() -> None:
    core = ROOT / "streamy_core"
    modules = {path.stem for path in core.glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in core.glob("*/__init__.py")}
    assert modules | folders == frozenset().union(*contracted()["streamy_core"])


def test_every_folder_has_a_paragraph(page: str) -> None:
    described = set(re.findall(r"^### `(\S+)`\n\n[^#\s]", page, re.MULTILINE))
    folders = {
        str(init.parent.relative_to(ROOT))
        for package in ("streamy_core", "streamy_backends")
        for init in (ROOT / package).rglob("__init__.py")
    }
    assert described == {*folders, "tests"}
