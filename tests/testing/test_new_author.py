"""Whoever installs Streamy and has it write a plug-in is told what to fill in, promise by promise."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

from streamy_core.testing import BrokerContract
from streamy_core.testing.capability_contract import CapabilityContract
from streamy_core.testing.history_contract import HistoryContract
from streamy_core.testing.last_contract import LastContract
from streamy_core.testing.many_contract import ManyContract
from streamy_core.testing.within_contract import WithinContract

from ..support.requirements import go_without
from .trying import names_of

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
TEMPLATE: Final = ROOT / "streamy_core" / "cli" / "skeleton"
FIRST_BROKER: Final = Path(__file__).with_name("first_broker.py")
HEADLINE: Final = re.compile(r"^_+ TestMineBroker\.(test_\w+)(?:\[.*\])? _+$", re.MULTILINE)
TO_WRITE: Final = re.compile(r"(?:Mine|First)(?:Broker|Watch)\.\w+ isn't written yet: \w.+")
A_MINUTE: Final = 60.0
ONLY_IF_IT_SAYS_HOW: Final = "test_ids_are_not_used_again_after_the_data_was_deleted"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment that has the wheel and its extra `testing`, and nothing else."""
    folder = tmp_path_factory.mktemp("author")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip(python, "install", f"{wheel}[testing]")
    return python


@pytest.fixture
def mine(python: Path, tmp_path: Path) -> Path:
    """The author's plug-in, as the command has written it."""
    subprocess.run([python.with_name("streamy"), "new-broker", "mine"], cwd=tmp_path, check=True)
    return tmp_path / "mine"


def pip(python: Path, *arguments: str) -> None:
    command = [python, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No matching distribution" in done.stderr or "ConnectionError" in done.stderr:
        go_without(f"no package index can be reached, to install from: {done.stderr}")
    assert done.returncode == 0, done.stderr


def contract(python: Path, folder: Path) -> str:
    """What pytest tells, which ends within a minute."""
    command = [python, "-m", "pytest"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=A_MINUTE).stdout


def failures_in(told: str) -> list[tuple[str, list[str]]]:
    """The tests that failed, each with the lines about it."""
    _, *parts = HEADLINE.split(re.split("^=+ short test summary info", told, flags=re.MULTILINE)[0])
    return [(name, text.strip().splitlines()) for name, text in zip(parts[::2], parts[1::2], strict=True)]


def to_do_in(told: str) -> dict[str, list[str]]:
    """The list of what is to be written: the promises below each method."""
    (_, listed) = re.split("^=+ to do =+$", told, flags=re.MULTILINE)
    methods = re.findall(r"^(\w.*)\n((?:  - .*\n)+)", listed, re.MULTILINE)
    return {method: re.findall("  - (.*)", below) for method, below in methods}


def test_the_wheel_has_all_of_the_template(wheel: Path) -> None:
    files = [path for path in TEMPLATE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert len(files) == 7
    names = set(zipfile.ZipFile(wheel).namelist())
    assert not {str(path.relative_to(ROOT)) for path in files} - names


def test_each_promise_that_a_new_broker_breaks_names_the_method_to_write(python: Path, mine: Path) -> None:
    told = contract(python, mine)
    listed = to_do_in(told)
    of_capabilities = (HistoryContract, CapabilityContract, LastContract, ManyContract, WithinContract)
    asked = set(names_of(BrokerContract)).difference(*map(vars, of_capabilities))
    promises = {name.removeprefix("test_").replace("_", " ") for name in asked - {ONLY_IF_IT_SAYS_HOW}}
    assert {promise for below in listed.values() for promise in below} == promises
    assert not [method for method in listed if not TO_WRITE.fullmatch(method)]
    assert not failures_in(told)


def test_the_first_to_write_is_the_first_method(python: Path, mine: Path) -> None:
    assert next(iter(to_do_in(contract(python, mine)))).startswith("MineBroker.append isn't written yet")


def test_a_first_broker_in_a_dict_keeps_a_good_part(python: Path, mine: Path) -> None:
    shutil.copy(FIRST_BROKER, mine / "streamy_mine" / "__init__.py")
    told = contract(python, mine)
    passed = re.search(r"(\d+) passed", told)
    assert passed
    assert int(passed[1]) > 40, told


def test_what_a_first_broker_lacks_is_told_beside_what_it_does_wrong(python: Path, mine: Path) -> None:
    shutil.copy(FIRST_BROKER, mine / "streamy_mine" / "__init__.py")
    told = contract(python, mine)
    listed = to_do_in(told)["FirstBroker.watch isn't written yet: return a new watch"]
    assert "the end rings too" in listed
    failed = dict(failures_in(told))
    assert "two entries have one id" in "\n".join(failed["test_ids_are_unlike_and_safe_to_send"])
