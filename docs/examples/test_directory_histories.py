"""Histories of calls that nobody would write, for the directory broker."""

import shutil
from pathlib import Path

from directory_broker import from_url

from streamy_core.testing import BrokerMachine, FromUrl


def test_any_history_of_calls_is_kept(tmp_path: Path) -> None:
    def wipe(log: str) -> None:
        shutil.rmtree(tmp_path / log, ignore_errors=True)

    def save(log: str) -> Path:
        (tmp_path / log).mkdir(exist_ok=True)
        return shutil.copytree(tmp_path / log, tmp_path / f"copy-of-{log}")

    def restore(log: str, copy: Path) -> None:
        wipe(log)
        shutil.copytree(copy, tmp_path / log)

    make_broker = FromUrl(f"directory://{tmp_path}/{{log}}", from_url)
    BrokerMachine.check(make_broker, wipe=wipe, save=save, restore=restore)
