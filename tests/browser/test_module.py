"""streamy.js without a browser: its tests in Node, its size, its types, its package; and the live page."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from streamy_core import __version__

from ..support import ROOT
from ..support.requirements import find_program, go_without

BROWSER = ROOT / "streamy_core" / "browser"
NODE = Path(__file__).parent / "node"
NPM_INSTALL = "npm install --prefix tests/browser/node"


@pytest.fixture
def node() -> str:
    return find_program("node", []) or go_without("there is no node")


def done(*command: str | Path, cwd: Path = ROOT) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=110, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parser", "connect", "processes"])
def test_tests_in_node_pass(node: str, name: str) -> None:
    done(node, "--test", NODE / f"{name}.test.mjs")


def test_it_is_small() -> None:
    assert len(gzip.compress((BROWSER / "streamy.js").read_bytes(), 9)) <= 4_000


@pytest.mark.slow
def test_a_consumers_file_passes_the_type_check() -> None:
    tsc = NODE / "node_modules" / ".bin" / "tsc"
    if not tsc.exists():
        go_without(f"typescript is missing: `{NPM_INSTALL}`")
    done(tsc, "--project", NODE)


def test_the_npm_package_is_of_the_same_release() -> None:
    assert json.loads((BROWSER / "package.json").read_text("utf-8"))["version"] == __version__


@pytest.mark.slow
def test_npm_packs_the_same_bytes(tmp_path: Path) -> None:
    npm = find_program("npm", []) or go_without("there is no npm")
    done(npm, "pack", "--silent", "--pack-destination", tmp_path, cwd=BROWSER)
    (packed,) = tmp_path.glob("*.tgz")
    with tarfile.open(packed) as package:
        assert sorted(package.getnames()) == [
            "package/package.json", "package/streamy.d.ts", "package/streamy.js"
        ]  # fmt: skip
        member = package.extractfile("package/streamy.js")
        assert member
        assert member.read() == (BROWSER / "streamy.js").read_bytes()


@pytest.mark.slow
def test_the_wheel_has_the_module_and_its_types(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path)]
    done(*pip, str(ROOT))
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    pages = {f"streamy_core/live_page/files/page.{kind}" for kind in ("html", "css", "js")}
    assert {"streamy_core/browser/streamy.js", "streamy_core/browser/streamy.d.ts", *pages} <= set(names)
