"""`BrokerMachine` has nothing to say of sound brokers, and finds what shows only after certain calls."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from streamy_core.testing import BrokerMachine, FromUrl, MachineBackend, MakeBroker
from streamy_core.testing.machine import SETTINGS
from streamy_core.testing.mutants import Making
from streamy_core.testing.mutants.sound import SoundBroker

from .planted import PLANTED, ForgetsEndsWhenItIsOpened

pytestmark = pytest.mark.slow


def scripts(count: int, *, shrunk: bool = False) -> settings:
    """So many, always the same."""
    phases = [Phase.generate, Phase.shrink] if shrunk else [Phase.generate]
    return settings(SETTINGS, max_examples=count, derandomize=True, database=None, phases=phases)


class Files:
    """The file of a log, and those beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def wipe(self, log: str) -> None:
        for file in self._folder.glob(f"{log}*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()

    def save(self, log: str) -> Path:
        copy = self._folder / "copies" / log
        copy.mkdir(parents=True)
        for file in self._folder.glob(f"{log}*"):
            target = copy / file.name
            shutil.copytree(file, target) if file.is_dir() else shutil.copy(file, target)
        return copy

    def restore(self, log: str, copy: Path) -> None:
        self.wipe(log)
        shutil.copytree(copy, self._folder, dirs_exist_ok=True)


def test_it_has_nothing_to_say_of_memory() -> None:
    BrokerMachine.check(FromUrl("memory://"), settings=scripts(40))


def test_it_has_nothing_to_say_of_sqlite_wiped_and_restored_too(tmp_path: Path) -> None:
    files = Files(tmp_path)
    make_broker = FromUrl(f"sqlite:///{tmp_path}/{{log}}.db")
    hooks = {"wipe": files.wipe, "save": files.save, "restore": files.restore}
    BrokerMachine.check(make_broker, **hooks, settings=scripts(8))


def test_it_has_nothing_to_say_of_what_the_planted_mistakes_are_made_from(tmp_path: Path) -> None:
    BrokerMachine.check(Making(SoundBroker, tmp_path), wipe=Files(tmp_path).wipe, settings=scripts(25))


@pytest.mark.parametrize("kind", PLANTED, ids=lambda kind: kind.__name__)
def test_a_planted_mistake_is_found(kind: type[SoundBroker], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=PLANTED[kind]):
        BrokerMachine.check(Making(kind, tmp_path), settings=scripts(400))


def test_a_history_that_goes_on_from_a_copy_uses_no_id_again(tmp_path: Path) -> None:
    files = Files(tmp_path)  # whose streams have one nonce each, which the copy has, too
    with pytest.raises(AssertionError, match="ids were used before"):
        BrokerMachine.check(
            Making(SoundBroker, tmp_path), save=files.save, restore=files.restore, settings=scripts(400)
        )


def test_a_failure_is_shrunk_to_a_script_of_few_lines(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        BrokerMachine.check(Making(ForgetsEndsWhenItIsOpened, tmp_path), settings=scripts(100, shrunk=True))
    script = "\n".join(caught.value.__notes__)
    lines = [line for line in script.splitlines() if "state." in line]
    assert lines[-1] == "state.teardown()"
    assert len(lines) <= 4, script
    assert "state.end()" in lines


def test_it_can_be_a_test_case_of_its_own() -> None:
    class Machine(BrokerMachine):
        backend = MachineBackend(FromUrl("memory://"))

    class TestMine(Machine.TestCase):
        settings = scripts(2)

    TestMine("runTest").debug()


def test_each_script_has_a_log_of_its_own() -> None:
    memory: MakeBroker = FromUrl("memory://")
    asked: list[str] = []

    def make_broker(log: str = "log", *, history: int = 10_000) -> object:
        asked.append(log)
        return memory(log, history=history)

    BrokerMachine.check(make_broker, settings=scripts(5))  # type: ignore[arg-type]
    assert len(set(asked)) == len(asked) >= 5


def test_without_hypothesis_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "streamy_core.testing.machine")
    monkeypatch.delattr("streamy_core.testing.machine")
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match="BrokerMachine needs Hypothesis: pip install hypothesis"):
        from streamy_core.testing import BrokerMachine  # noqa: F401
