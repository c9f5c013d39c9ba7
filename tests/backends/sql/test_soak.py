"""What a database answers to many processes at once contradicts itself nowhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamy_core.testing import soak

from .conftest import SERVERS, Server
from .test_contract import on


@pytest.mark.parametrize("kind", SERVERS)
def test_a_database_stands_a_soak(kind: str, shared: Callable[[str], Server], prefix: str) -> None:
    report = soak(on(shared(kind).url, prefix), seconds=1)
    assert report.sound, report
