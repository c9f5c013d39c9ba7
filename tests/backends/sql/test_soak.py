"""What a database answers to many processes at once contradicts itself nowhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamy_core.testing import soak

from .conftest import Server
from .test_contract import on

pytestmark = pytest.mark.slow


def test_a_database_stands_a_soak(shared: Callable[[str], Server], prefix: str) -> None:
    report = soak(on(shared("postgresql").url, prefix), seconds=1)
    assert report.sound, report
