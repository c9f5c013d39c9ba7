"""The contract, for the skeleton."""

import secrets

import pytest
from skeleton_broker import from_url

from streamy_core.testing import BrokerContract, FromUrl, MakeBroker


class TestSkeletonBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        return FromUrl(f"skeleton://{secrets.token_hex(8)}-{{log}}", from_url)
