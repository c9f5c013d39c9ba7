"""Fixtures: an app with metrics, by either delivery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from .stage import Stage


class Staging(Protocol):
    """Makes a stage with these settings."""

    def __call__(self, **settings: Any) -> Stage: ...


@pytest.fixture(params=["detached", "wsgi"])
def staging(request: pytest.FixtureRequest) -> Iterator[Staging]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Stage:
            return stack.enter_context(Stage(request.param, **settings))

        yield make


@pytest.fixture
def stage(staging: Staging) -> Stage:
    return staging()
