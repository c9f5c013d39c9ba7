"""Trying the contract on brokers: which of its tests fail, and what they say."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core.testing import MakeBroker
from streamy_core.testing.basis import Contract

SPARED = {
    "test_a_forked_process_and_its_parent_both_go_on",
    "test_concurrent_publishers_lose_nothing_and_each_keeps_its_order",
    "test_no_bell_is_forgotten_in_a_storm_of_adds_discards_and_appends",
    "test_one_key_from_many_threads_stores_once",
    "test_streams_that_grow_at_once_are_not_mixed_up",
    "test_wait_blocks_while_there_is_nothing_to_tell",
}
"""Tests that take long or that race: tried on a broken broker only where they are meant to fail."""

Fresh = Callable[[], Any]
"""Makes the fixture `make_broker` of one test, which may be its `faults` too."""


def alone(kind: type[MemoryBroker]) -> Fresh:
    """Brokers of this kind, each with a log that is nobody else's."""

    def make_broker(log: str = "log", *, history: int = 10_000) -> MemoryBroker:
        return kind(Limits(history=history))

    return lambda: make_broker


def names_of(contract: type) -> list[str]:
    """The names of its tests, but for the one that is about authors' classes."""
    found = inspect.getmembers(contract, inspect.isfunction)
    return [name for name, _ in found if name.startswith("test_") and name not in vars(Contract)]


def failures(contract: type, fresh: Fresh, but: Collection[str] = ()) -> dict[str, str]:
    """The tests of the contract that fail, except for these, each with what its author gets to read."""
    found: dict[str, str] = {}
    for name in names_of(contract):
        test = getattr(contract, name)
        for parameters in _cases(test) if name not in but else ():
            try:
                _run(test, fresh(), parameters)
            except pytest.skip.Exception:
                continue
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - any failure is one
                found.setdefault(name, f"{type(error).__name__}: {error}")
    return found


def check(contract: type, fresh: Fresh, expected: Mapping[str, str], but: Collection[str] = ()) -> None:
    """Fails unless these tests of the contract fail, saying so, and no others.

    expected: the names of tests, without "test_", and words of their messages.
    """
    meant = {f"test_{name}": words for name, words in expected.items()}
    found = failures(contract, fresh, {*but, *SPARED} - set(meant))
    assert set(found) == set(meant), found
    unsaid = {name: found[name] for name, words in meant.items() if words not in found[name]}
    assert not unsaid, unsaid


def _cases(test: Any) -> Iterator[dict[str, object]]:
    for mark in getattr(test, "pytestmark", ()):
        name, values = mark.args
        yield from ({name: value} for value in values)
        return
    yield {}


def _run(test: Callable[..., None], make_broker: MakeBroker, given: dict[str, object]) -> None:
    wanted = inspect.signature(test).parameters
    with ExitStack() as to_close:
        fixtures: dict[str, object] = {
            "self": None,
            "make_broker": make_broker,
            "faults": make_broker,
            **given,
        }
        if "broker" in wanted:
            fixtures["broker"] = to_close.enter_context(make_broker())
        if "other" in wanted:
            fixtures["other"] = other = to_close.enter_context(make_broker())
            if not other.shared:
                pytest.skip("its streams are one process's")
        test(**{name: fixtures[name] for name in wanted})
