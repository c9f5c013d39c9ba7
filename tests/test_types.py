"""What a type checker of the app's author finds out about this library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PACKAGES = ("streamy_core", "streamy_backends")
PYRIGHT = [sys.executable, "-m", "pyright"]


def test_pyright_has_nothing_to_say_of_the_source() -> None:
    result = subprocess.run(
        [*PYRIGHT, "--pythonpath", sys.executable], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert result.returncode == 0, result.stdout[-3_000:] + result.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment into which the packages have been copied: of an editable install nothing is found."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site_packages = folder / "lib" / version / "site-packages"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, site_packages / package)
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_of_a_package_has_a_type(package: str, installed: Path) -> None:
    result = subprocess.run(
        [*PYRIGHT, "--verifytypes", package, "--ignoreexternal", "--outputjson"],
        cwd=installed,
        env={**os.environ, "PATH": f"{installed / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    found = json.loads(result.stdout)["typeCompleteness"]
    assert found["packageRootDirectory"], "the package was not found"
    untyped = [symbol["name"] for symbol in found["symbols"] if not symbol["isTypeKnown"]]
    assert (found["completenessScore"], untyped) == (1, [])
