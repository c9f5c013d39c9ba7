"""What Streamy gives to tests: the contract that every broker keeps.

from streamy_core.testing import BrokerContract

class TestMyBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self, tmp_path):
        return lambda log="log", *, history=10_000: MyBroker(tmp_path / log, history=history)
"""

import pytest

# Before the import: an author wants to see what differed, not a bare AssertionError.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{part}"
        for part in ("basis", "contract", "fault_contract", "sharing_contract", "watch_contract")
    )
)

from .basis import MakeBroker  # noqa: E402
from .contract import BrokerContract  # noqa: E402
from .fault_contract import FaultContract, Faults  # noqa: E402

__all__ = ["BrokerContract", "FaultContract", "Faults", "MakeBroker"]
