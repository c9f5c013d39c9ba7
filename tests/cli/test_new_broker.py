"""`streamy new-broker` writes a plug-in whose own tests say what is to be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from streamy_core.cli import main

from .command import STREAMY

pytestmark = pytest.mark.slow

APPEND = "AcmeLogBroker.append isn't written yet: store"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def acme(folder: Path) -> Path:
    """A new plug-in."""
    assert new_broker("acme-log").exit_code == 0
    return folder / "acme-log"


def new_broker(name: str) -> Result:
    return CliRunner().invoke(main, ["new-broker", name])


def run(*command: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path or ""), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def test_it_is_a_distribution_with_tests_and_a_recipe_for_ci(acme: Path) -> None:
    assert sorted(str(path.relative_to(acme)) for path in acme.rglob("*") if path.is_file()) == [
        ".github/workflows/tests.yml",
        "README.md",
        "pyproject.toml",
        "streamy_acme_log/__init__.py",
        "streamy_acme_log/broker.py",
        "streamy_acme_log/py.typed",
        "tests/test_contract.py",
    ]


def test_no_name_of_the_template_is_left(acme: Path) -> None:
    texts = [path.read_text("utf-8") for path in acme.rglob("*") if path.is_file()]
    assert not [text for text in texts if "skeleton" in text.lower()]


def test_its_first_run_of_pytest_is_a_list_with_a_line_for_each_promise(acme: Path) -> None:
    done = run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", cwd=acme)
    assert done.returncode == 1, done.stdout + done.stderr
    before, _, listed = done.stdout.partition("= to do =")
    assert "FAILURES" not in before
    lines = listed.splitlines()
    assert lines[1].startswith(APPEND)
    promises = [line for line in lines if line.startswith("  - ")]
    assert "  - entries come in the order of their appends" in promises
    assert "  - a bell rings in every process" in promises
    assert len(promises) == len(set(promises)) > 100


def test_it_can_be_installed_and_is_found(acme: Path, tmp_path: Path) -> None:
    options = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-q")
    site = tmp_path / "site"
    done = run(sys.executable, "-m", "pip", "install", *options, "--target", str(site), ".", cwd=acme)
    assert done.returncode == 0, done.stderr
    found = run(STREAMY, "backends", cwd=tmp_path, path=site).stdout.splitlines()
    assert [line.split() for line in found if "acme" in line] == [
        ["acme-log", "streamy-acme-log", "0.1.0", "ok"]
    ]


def test_its_recipe_for_ci_runs_pytest_on_each_python(acme: Path) -> None:
    recipe = yaml.safe_load((acme / ".github" / "workflows" / "tests.yml").read_text("utf-8"))
    (job,) = recipe["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == ['pip install -e ".[testing]"', "python -m pytest"]


@pytest.mark.parametrize("name", ["acme", "streamy-acme", "Streamy_ACME"])
def test_a_package_never_has_the_name_of_its_driver(folder: Path, name: str) -> None:
    assert new_broker(name).exit_code == 0
    assert (folder / name / "streamy_acme" / "broker.py").exists()
    assert 'name = "streamy-acme"' in (folder / name / "pyproject.toml").read_text("utf-8")


def test_a_folder_that_is_there_stays_as_it_is(acme: Path) -> None:
    for path in sorted(acme.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    told = new_broker("acme-log")
    assert told.exit_code == 1
    assert told.output == "Error: acme-log is there already, and stays as it is: choose another name\n"
    assert list(acme.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["my broker", "1st", "../acme", "a/b", "", "-acme", "acme-", "é", "a\n", "."]
)
def test_a_name_that_no_package_can_have_is_refused(folder: Path, name: str) -> None:
    told = CliRunner().invoke(main, ["new-broker", "--", name])
    assert told.exit_code == 2
    assert f"{name!r} can't be the name of a package: it takes letters, digits" in told.output
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("streamy-1st", "a URL's scheme begins with a letter, and '1st' doesn't"),
        ("core", "streamy-core is a part of Streamy itself"),
        ("streamy-sse", "streamy-sse is a part of Streamy itself"),
        ("redis", "redis:// is streamy-sse's already, which is installed"),
    ],
)
def test_a_name_that_would_be_in_anothers_way_is_refused(folder: Path, name: str, why: str) -> None:
    told = new_broker(name)
    assert told.exit_code == 2
    assert why in told.output
    assert list(folder.iterdir()) == []


def test_a_folder_that_can_not_be_written_is_told_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    told = new_broker("acme")
    assert told.exit_code == 1
    assert told.output == "Error: acme can't be written: [Errno 28] No space left on device\n"
