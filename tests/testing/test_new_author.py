"""Whoever installs Streamy and starts from the skeleton is told what to write, promise by promise."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from streamy_core.testing import BrokerContract
from streamy_core.testing.capability_contract import CapabilityContract
from streamy_core.testing.history_contract import HistoryContract
from streamy_core.testing.many_contract import ManyContract
from streamy_core.testing.within_contract import WithinContract

from ..support.requirements import go_without
from .trying import names_of

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
SKELETON: Final = ROOT / "docs" / "examples" / "skeleton"
FIRST_BROKER: Final = Path(__file__).with_name("first_broker.py")
HEADLINE: Final = re.compile(r"^_+ TestSkeletonBroker\.(test_\w+)(?:\[.*\])? _+$", re.MULTILINE)
TO_WRITE: Final = re.compile(r"(?:Skeleton|First)(?:Broker|Watch)\.\w+ isn't written yet: \w.+")
A_MINUTE: Final = 60.0
ONLY_IF_IT_SAYS_HOW: Final = "test_ids_are_not_used_again_after_the_data_was_deleted"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment that has the wheel and its extra `testing`, and nothing else."""
    folder = tmp_path_factory.mktemp("author")
    pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip(python, "install", f"{wheel}[testing]")
    return python


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """The author's copy."""
    return Path(shutil.copytree(SKELETON, tmp_path / "mine", ignore=shutil.ignore_patterns("__pycache__")))


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


def test_each_promise_that_the_skeleton_breaks_names_the_method_to_write(
    python: Path, skeleton: Path
) -> None:
    failed = failures_in(contract(python, skeleton))
    of_capabilities = (HistoryContract, CapabilityContract, ManyContract, WithinContract)
    asked = set(names_of(BrokerContract)).difference(*map(vars, of_capabilities))
    assert {name for name, _ in failed} == asked - {ONLY_IF_IT_SAYS_HOW}
    unclear = {name: lines for name, lines in failed if not TO_WRITE.fullmatch("\n".join(lines))}
    assert not unclear


def test_the_first_failure_is_about_the_first_method(python: Path, skeleton: Path) -> None:
    (_, lines), *_ = failures_in(contract(python, skeleton))
    assert lines[0].startswith("SkeletonBroker.append isn't written yet")


def test_a_first_broker_in_a_dict_keeps_a_good_part(python: Path, skeleton: Path) -> None:
    shutil.copy(FIRST_BROKER, skeleton / "skeleton_broker.py")
    told = contract(python, skeleton)
    passed = re.search(r"(\d+) passed", told)
    assert passed
    assert int(passed[1]) > 40, told


def test_what_a_first_broker_lacks_is_told_beside_what_it_does_wrong(python: Path, skeleton: Path) -> None:
    shutil.copy(FIRST_BROKER, skeleton / "skeleton_broker.py")
    told = dict(failures_in(contract(python, skeleton)))
    assert told["test_the_end_rings_too"] == ["FirstBroker.watch isn't written yet: return a new watch"]
    assert "two entries have one id" in "\n".join(told["test_ids_are_unlike_and_safe_to_send"])
