"""What options of every backend refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streamy_core import ConfigError

each_wrong_time = pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "-inf", "0.0001"])


def assert_no_time(read: Callable[[str], object], name: str, value: str) -> None:
    """Fail unless whoever reads a URL's query refuses this value of the option as no time."""
    told = f"'{name}' has to be a number of seconds above 0, .*not '{value}'"
    with pytest.raises(ConfigError, match=told):
        read(f"{name}={value}")
