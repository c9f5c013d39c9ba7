"""The contract, for the directory broker."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from directory_broker import DirectoryBroker, from_url

from streamy_core import ConfigError
from streamy_core.testing import BrokerContract


class TestDirectoryBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self, tmp_path: Path) -> Callable[..., DirectoryBroker]:
        numbers = count()

        def make(*, history: int = 10_000) -> DirectoryBroker:
            return DirectoryBroker(tmp_path / str(next(numbers)), history)  # each with a log of its own

        return make


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="histroy"):
        from_url(f"directory://{tmp_path}?histroy=5", {})
