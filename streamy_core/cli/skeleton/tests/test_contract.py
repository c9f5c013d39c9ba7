"""The promises that every broker keeps, asked of this one."""

import secrets

import pytest
from streamy_skeleton import from_url

from streamy_core import ConfigError
from streamy_core.testing import BrokerContract, FromUrl, MakeBroker


class TestSkeletonBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        return FromUrl(f"skeleton://{secrets.token_hex(8)}-{{log}}", from_url)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="histroy"):
        from_url("skeleton://log?histroy=5", {})
