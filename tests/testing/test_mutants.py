"""Whatever a broker does wrong, the test that is meant for it fails, and says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamy_core.testing import (
    BrokerContract,
    MakeBroker,
    reading,
    surviving_contract,
    watch_contract,
)
from streamy_core.testing.mutants import Making, Mutant, mutants
from streamy_core.testing.mutants.breaking import broken_by
from streamy_core.testing.mutants.ids import MakesIdsByChance
from streamy_core.testing.mutants.outages import CanBeAway
from streamy_core.testing.mutants.sound import SoundBroker
from streamy_core.testing.mutants.watches import BringsEntriesAlong

from .trying import said

pytestmark = pytest.mark.slow

PAIRS = [(kind, promise) for kind in mutants() for promise in broken_by(kind)]
PATIENT = 5.0
"""Seconds within which sound brokers ring, on a machine that runs other tests."""
TRIES = 3
"""Some mistakes show by chance, as where a process is killed: so often the promise is asked."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never happens is not waited for as long."""
    for module in (reading, watch_contract, surviving_contract):
        monkeypatch.setattr(module, "DEADLINE", 0.5)
    for module in (reading, watch_contract):
        monkeypatch.setattr(module, "WAKES_WITHIN", 0.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("kind", "promise"), PAIRS, ids=[f"{kind.__name__}-{promise}" for kind, promise in PAIRS]
)
def test_a_mutant_is_caught_by_the_promise_that_it_breaks(
    kind: Mutant, promise: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    expected = broken_by(kind)[promise]
    for number in range(TRIES):
        told = said(kind, promise, tmp_path / str(number), pytestconfig)
        if told is not None and expected in told:
            return
    assert told is not None, "nobody notices"
    assert expected in told


class TestSound(BrokerContract):
    """What the mutants are made from breaks nothing: in memory, and shared by processes."""

    @pytest.fixture(params=[SoundBroker, CanBeAway, MakesIdsByChance, BringsEntriesAlong, "in memory"])
    def make_broker(self, request: pytest.FixtureRequest, tmp_path: Path) -> MakeBroker:
        if request.param == "in memory":
            return Making(SoundBroker, rings_within=PATIENT)
        in_memory = request.param in (MakesIdsByChance, BringsEntriesAlong)
        return Making(request.param, None if in_memory else tmp_path, PATIENT)

    @pytest.fixture
    def wipe(self, tmp_path: Path) -> Callable[[], None]:
        def delete_all() -> None:
            for file in tmp_path.rglob("*"):
                if file.is_file():
                    file.unlink()

        return delete_all
