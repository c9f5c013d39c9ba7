"""There are mutants enough, and what they are made from breaks nothing, in transactions and outages."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamy_core.testing import (
    BrokerContract,
    FaultContract,
    Faults,
    MakeBroker,
)
from streamy_core.testing.mutants import Making, by_promise, mutants
from streamy_core.testing.mutants.outages import Backend, CanBeAway
from streamy_core.testing.mutants.within import HasTransactions
from streamy_core.testing.within_contract import Begin, WithinContract

from .trying import names_of


def test_each_promise_has_a_mutant_that_breaks_it() -> None:
    promises = {
        name.removeprefix("test_") for part in (BrokerContract, FaultContract) for name in names_of(part)
    }
    assert sorted(promises - by_promise().keys()) == [], "nothing shows that these catch anything"
    assert sorted(by_promise().keys() - promises) == [], "these are no promises of the contract's"


def test_there_are_mutants_enough() -> None:
    assert len(list(mutants())) >= 150


class TestSoundInTransactions(WithinContract):
    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        return Making(HasTransactions)

    @pytest.fixture
    def begin(self, broker: HasTransactions) -> Begin:
        return broker.begin


class TestSoundInOutages(FaultContract):
    @pytest.fixture
    def make_broker(self, tmp_path: Path) -> MakeBroker:
        return Making(CanBeAway, tmp_path)

    @pytest.fixture
    def faults(self, tmp_path: Path) -> Faults:
        return Backend(tmp_path)
