"""The doubles are brokers themselves, whatever they are around."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from streamy_core.broker import Broker
from streamy_core.plugins import open_broker
from streamy_core.testing import BrokerContract, FaultyBroker, MakeBroker
from streamy_core.testing.namespaced import Namespaced

pytestmark = pytest.mark.slow


def in_a_corner(url: str, log: str = "log", *, history: int = 10_000) -> Broker:
    return Namespaced(open_broker(url, {"history": history}), f"{log}:", owns=True)


def that_can_fail(folder: str, log: str = "log", *, history: int = 10_000) -> Broker:
    return FaultyBroker(open_broker(f"{folder}/{log}.db", {"history": history}))


class TestNamespaced(BrokerContract):
    @pytest.fixture
    def make_broker(self, tmp_path: Path) -> MakeBroker:
        return partial(in_a_corner, f"sqlite:///{tmp_path}/streams.db")


class TestFaulty(BrokerContract):
    @pytest.fixture
    def make_broker(self, tmp_path: Path) -> MakeBroker:
        return partial(that_can_fail, f"sqlite:///{tmp_path}")
