"""The contract, for the directory broker."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from directory_broker import from_url

from streamy_core import ConfigError
from streamy_core.testing import BrokerContract, FromUrl, MakeBroker, soak


class TestDirectoryBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self, tmp_path: Path) -> MakeBroker:
        return FromUrl(f"directory://{tmp_path}/{{log}}", from_url)

    @pytest.fixture
    def wipe(self, tmp_path: Path) -> Callable[[], None]:
        return lambda: shutil.rmtree(tmp_path / "log")


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="histroy"):
        from_url(f"directory://{tmp_path}?histroy=5", {})


def test_it_stands_a_soak(tmp_path: Path) -> None:
    report = soak(FromUrl(f"directory://{tmp_path}/{{log}}", from_url), seconds=1)
    assert report.sound, report
