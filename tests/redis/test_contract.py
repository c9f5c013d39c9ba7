"""The same promises as every broker, on every kind of server."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from streamy_backends.redis import from_url
from streamy_core.testing import BrokerContract
from streamy_core.testing.contract import MakeBroker


class TestRedisBroker(BrokerContract):
    @pytest.fixture(params=["redis", "valkey", "sentinel", "cluster", "old cluster"])
    def make_broker(
        self, request: pytest.FixtureRequest, shared: Callable[[str], Any], prefix: str
    ) -> MakeBroker:
        url, logs = shared(request.param).url, itertools.count()
        return lambda *, history=10_000: from_url(
            url, {"prefix": f"{prefix}-{next(logs)}", "history": history}
        )
