"""The contract, for the skeleton."""

import secrets

import pytest
from skeleton_broker import from_url

from streamy_core.testing import BrokerContract, MakeBroker


class TestSkeletonBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        test = secrets.token_hex(8)
        return lambda log="log", *, history=10_000: from_url(f"skeleton://{test}-{log}", {"history": history})
