"""The contract for any installed backend, by its URL. Run by `streamy conformance`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import pytest

from ..broker import Broker
from ..errors import ConfigError
from ..plugins import open_broker
from .basis import MakeBroker
from .contract import BrokerContract
from .namespaced import Namespaced


class TestConformance(BrokerContract):
    """Each log is a corner of the backend, under names made by chance."""

    url = ""

    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        return Corners(self.url, secrets.token_hex(8))


@dataclass(frozen=True)
class Corners:
    """Makes brokers on logs that are corners of the backend at `url`, with names that begin with `run`."""

    url: str
    run: str

    def __call__(self, log: str = "log", *, history: int = 10_000) -> Broker:
        return Namespaced(self._open(history), f"{self.run}-{log}:", owns=True)

    def history(self, entries: int) -> int | None:
        """So many entries, if the backend can be told to keep no more; else None."""
        try:
            open_broker(self.url, {"history": entries}).close()
        except ConfigError as error:
            if "history" not in str(error):
                raise
            return None
        return entries

    def _open(self, history: int) -> Broker:
        try:
            return open_broker(self.url, {"history": history})
        except ConfigError as error:
            if "history" not in str(error):
                raise
        if history < 1_000:
            pytest.skip("the backend has no option history, so that nothing can be made to be trimmed")
        return open_broker(self.url)
