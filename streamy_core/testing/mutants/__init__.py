"""Brokers and watches with one mistake each: what the contract catches, and by which promise.

`python -m streamy_core.testing.mutants` prints the table. To see a promise catch something:

    from streamy_core.testing.mutants import Making, watches

    class TestThatFails(BrokerContract):
        @pytest.fixture
        def make_broker(self):
            return Making(watches.RingsThreeSecondsLate)
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ...broker import BaseWatch, Broker
from . import (
    appending,
    capabilities,
    cursors,
    earlier,
    ids,
    keys,
    lasts,
    lives,
    many,
    outages,
    pages,
    sharing,
    surviving,
    waking,
    watches,
    within,
)
from .breaking import broken_by
from .sound import SoundBroker

Mutant = type[SoundBroker] | type[BaseWatch]

_MODULES = (
    appending,
    ids,
    cursors,
    pages,
    earlier,
    lives,
    keys,
    capabilities,
    many,
    lasts,
    within,
    watches,
    waking,
    sharing,
    surviving,
    outages,
)


@dataclass(frozen=True)
class Making:
    """Makes brokers of a kind, or sound ones with watches of a kind. A `MakeBroker`.

    folder: where logs are, which other processes share; without one each broker has a log of its own.
    rings_within: what its brokers declare, instead of the half second that they do by themselves.
    """

    kind: Mutant
    folder: Path | None = None
    rings_within: float | None = None

    def __call__(self, log: str = "log", *, history: int = 10_000) -> Broker:
        folder = self.folder and self.folder / log
        if issubclass(self.kind, BaseWatch):
            broker = SoundBroker(folder, history, self.kind)
        else:
            broker = self.kind(folder, history)
        if self.rings_within is not None:
            broker.rings_within = self.rings_within
        return broker


def mutants() -> Iterator[Mutant]:
    """Every mutant there is."""
    for module in _MODULES:
        yield from _of(module)


def by_promise() -> Mapping[str, list[Mutant]]:
    """For each promise, which is called as its test without "test_", the mutants that break it."""
    found: defaultdict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants():
        for promise in broken_by(mutant):
            found[promise].append(mutant)
    return found


def _of(module: ModuleType) -> Iterator[Mutant]:
    for kind in vars(module).values():
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and broken_by(kind):
            assert issubclass(kind, SoundBroker | BaseWatch)
            yield kind
