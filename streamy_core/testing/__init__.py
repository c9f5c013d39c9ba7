"""What Streamy gives to tests: a client, brokers that fail on demand, and the contract that all brokers keep.

from streamy_core.testing import BrokerContract

class TestMyBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self, tmp_path):
        return FromUrl(f"mine://{tmp_path}/{{log}}")
"""

import pytest

# Before the import: an author wants to see what differed, not a bare AssertionError.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{part}"
        for part in (
            "basis",
            "capability_contract",
            "contract",
            "fault_contract",
            "history_contract",
            "key_contract",
            "life_contract",
            "others",
            "page_contract",
            "sharing_contract",
            "surviving_contract",
            "watch_contract",
        )
    )
)

from .basis import FromUrl, MakeBroker  # noqa: E402
from .client import EventClient, EventStream  # noqa: E402
from .clock import ManualClock  # noqa: E402
from .contract import BrokerContract  # noqa: E402
from .doubles import FaultyBroker, RecordingBroker  # noqa: E402
from .fault_contract import FaultContract, Faults  # noqa: E402
from .soaking import SoakReport, soak  # noqa: E402

__all__ = [
    "BrokerContract",
    "EventClient",
    "EventStream",
    "FaultContract",
    "Faults",
    "FaultyBroker",
    "FromUrl",
    "MakeBroker",
    "ManualClock",
    "RecordingBroker",
    "SoakReport",
    "soak",
]
