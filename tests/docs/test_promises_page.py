"""The table of promises tells what the contract asks, and what it finds."""

from __future__ import annotations

import inspect

import pytest

from streamy_core.testing import BrokerContract, FaultContract
from streamy_core.testing.basis import Contract

from .promises import BACKENDS, PAGE, PARTS, Backend, Column, cells, column, page, promises, sentence


@pytest.fixture
def rows() -> list[tuple[str, Column]]:
    return list(cells(PAGE.read_text("utf-8")))


def test_every_promise_of_the_contract_has_its_row_in_order(rows: list[tuple[str, Column]]) -> None:
    asked = [promise for part in PARTS for promise in promises(part)]
    assert [told for told, _ in rows] == [sentence(promise) for promise in asked]


def test_no_part_of_the_contract_is_left_out() -> None:
    bases = {*inspect.getmro(BrokerContract), *inspect.getmro(FaultContract)} - {Contract, object}
    assert {base for base in bases if promises(base)} == set(PARTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend", [found for found in BACKENDS if found.without_faults], ids=lambda backend: backend.name
)
def test_a_column_is_what_a_run_finds(rows: list[tuple[str, Column]], backend: Backend) -> None:
    found = column(backend)
    assert {told: cell[backend.name] for told, cell in rows} == {
        sentence(promise): found[promise] for part in PARTS for promise in promises(part)
    }


def test_the_page_is_as_it_would_be_written(rows: list[tuple[str, Column]]) -> None:
    by_sentence = dict(rows)
    columns = {
        backend.name: {
            promise: by_sentence[sentence(promise)][backend.name]
            for part in PARTS
            for promise in promises(part)
        }
        for backend in BACKENDS
    }
    assert PAGE.read_text("utf-8") == page(columns)
