"""The same promises as every broker, on every kind of database."""

from __future__ import annotations

import itertools

import pytest

from streamy_backends.sql import from_url
from streamy_core.testing import BrokerContract
from streamy_core.testing.contract import MakeBroker


class TestSqlBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self, url: str, prefix: str) -> MakeBroker:
        logs = itertools.count()
        return lambda *, history=10_000: from_url(
            url, {"table_prefix": f"{prefix}{next(logs)}_", "history": history}
        )
