"""Trying single tests of the contract on brokers: whether they fail, and what they say."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from streamy_core.testing import BrokerContract, FaultContract
from streamy_core.testing.basis import Contract
from streamy_core.testing.mutants import Making, Mutant
from streamy_core.testing.mutants.outages import Backend
from streamy_core.testing.mutants.within import HasTransactions
from streamy_core.testing.processes import starter_of
from streamy_core.testing.surviving_contract import SurvivingContract

WITH_PROCESSES = {"elsewhere", "other", "faults", "wipe"}
"""Fixtures of tests for which logs have to be in a folder."""
FORKS = {name for name in vars(SurvivingContract) if name.startswith("test_")}


def names_of(contract: type) -> list[str]:
    """The names of its tests, but for the one that is about authors' classes."""
    found = inspect.getmembers(contract, inspect.isfunction)
    return [name for name, _ in found if name.startswith("test_") and name not in vars(Contract)]


def said(kind: Mutant, promise: str, folder: Path, config: pytest.Config) -> str | None:
    """What the author of this broker, or watch, gets to read of the promise; None if it is kept."""
    contract = FaultContract if f"test_{promise}" in names_of(FaultContract) else BrokerContract
    test = getattr(contract, f"test_{promise}")
    in_folder = bool(WITH_PROCESSES & inspect.signature(test).parameters.keys())
    in_folder |= test.__name__ in FORKS or "every_broker_on_the_log" in promise
    for number, given in enumerate(_cases(test)):
        making = Making(kind, folder / str(number) if in_folder else None)
        try:
            _run(test, making, given, config)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - any failure is one
            return f"{type(error).__name__}: {error}"
    return None


def _cases(test: Any) -> Iterator[dict[str, object]]:
    for mark in getattr(test, "pytestmark", ()):
        name, values = mark.args
        yield from ({name: value} for value in values)
        return
    yield {}


def _run(test: Any, making: Making, given: dict[str, object], config: pytest.Config) -> None:
    wanted = inspect.signature(test).parameters
    with ExitStack() as to_close:
        elsewhere = to_close.enter_context(starter_of(config).starting(making))
        fixtures: dict[str, object] = {"self": None, "make_broker": making, "elsewhere": elsewhere, **given}
        if making.folder is not None:
            fixtures["faults"] = backend = Backend(making.folder)
            fixtures["wipe"] = lambda: _empty(making.folder)
        if "broker" in wanted:
            fixtures["broker"] = to_close.enter_context(making())
        if isinstance(broker := fixtures.get("broker"), HasTransactions):
            fixtures |= {"begin": broker.begin, "within": broker}
        if "other" in wanted:
            fixtures["other"] = elsewhere()
        if "faults" in wanted:
            to_close.callback(backend.give_back)
        test(**{name: fixtures[name] for name in wanted})


def _empty(folder: Path | None) -> None:
    for file in folder.rglob("*") if folder else ():
        if file.is_file():
            file.unlink()
