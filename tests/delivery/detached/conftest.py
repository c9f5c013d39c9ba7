"""Fixtures: houses with a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streamy_core.engine.hub import Hub
from streamy_core.strategies.slow_clients import Disconnect, SlowClientPolicy

from .house import House


@pytest.fixture
def make_house(make_hub: Callable[..., Hub]) -> Iterator[Callable[..., House]]:
    houses = []

    def make(policy: SlowClientPolicy | None = None, **hub: Any) -> House:
        houses.append(House(make_hub(**hub), policy or Disconnect()))
        return houses[-1]

    yield make
    for house in houses:
        house.close()


@pytest.fixture
def house(make_house: Callable[..., House]) -> House:
    return make_house()
