"""What Streamy gives to tests: a client, brokers that fail on demand, and the contract that all brokers keep.

from streamy_core.testing import BrokerContract

class TestMyBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self, tmp_path):
        return FromUrl(f"mine://{tmp_path}/{{log}}")
"""

from typing import TYPE_CHECKING, Any

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
            "last_contract",
            "life_contract",
            "many_contract",
            "oracle",
            "others",
            "page_contract",
            "sharing_contract",
            "surviving_contract",
            "watch_contract",
            "within_contract",
        )
    )
)

from .basis import FromUrl, MakeBroker  # noqa: E402
from .client import EventClient, EventStream  # noqa: E402
from .clock import ManualClock  # noqa: E402
from .contract import BrokerContract  # noqa: E402
from .doubles import FaultyBroker, RecordingBroker  # noqa: E402
from .fault_contract import FaultContract, Faults  # noqa: E402
from .gunicorn import GunicornServer  # noqa: E402
from .soaking import SoakReport, soak  # noqa: E402
from .within_contract import Transaction  # noqa: E402

if TYPE_CHECKING:
    from .machine import BrokerMachine as BrokerMachine
    from .machine import MachineBackend as MachineBackend

__all__ = [
    "BrokerContract",
    "EventClient",
    "EventStream",
    "FaultContract",
    "Faults",
    "FaultyBroker",
    "FromUrl",
    "GunicornServer",
    "MakeBroker",
    "ManualClock",
    "RecordingBroker",
    "SoakReport",
    "Transaction",
    "soak",
]


def __getattr__(name: str) -> Any:
    """What needs Hypothesis is loaded when it is asked for."""
    if name in ("BrokerMachine", "MachineBackend"):
        from . import machine

        return getattr(machine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
