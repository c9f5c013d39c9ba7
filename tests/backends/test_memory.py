"""memory:// keeps the contract, and stays within its bounds."""

from __future__ import annotations

import pytest

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core.testing import BrokerContract
from streamy_core.testing.contract import MakeBroker


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        return lambda *, history=10_000: MemoryBroker(Limits(history=history))
