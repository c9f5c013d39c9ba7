"""What Streamy gives to tests: the contract that every broker keeps.

from streamy_core.testing import BrokerContract

class TestMyBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self):
        return lambda history=1000: MyBroker(history=history)
"""

import pytest

# Before the import: an author wants to see what differed, not a bare AssertionError.
pytest.register_assert_rewrite("streamy_core.testing.contract", "streamy_core.testing.watch_contract")

from .contract import BrokerContract  # noqa: E402

__all__ = ["BrokerContract"]
