"""What a URL and the options may say."""

from __future__ import annotations

from typing import Any

import pytest
from streamy_nats import from_url

from streamy_core import ConfigError


@pytest.mark.parametrize(
    ("url", "options", "named"),
    [
        ("nats://h?histroy=5", {}, "histroy"),
        ("nats://h?history=many", {}, "history"),
        ("nats://h?history=0", {}, "history"),
        ("nats://h?prefix=a.b", {}, "prefix"),
        ("nats://h?prefix=", {}, "prefix"),
        ("nats://h?timeout=0", {}, "timeout"),
        ("nats://h?timeout=nan", {}, "timeout"),
        ("nats://h?connect=tls", {}, "connect"),
        ("nats://", {}, "host"),
        ("nats://h:port", {}, "port"),
        ("nats://h", {"history": None}, "history"),
        ("nats://h", {"server": "nats://h"}, "server"),
    ],
)
def test_what_is_unknown_or_impossible_is_refused_by_its_name(
    url: str, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        from_url(url, options)


def test_nothing_is_connected_to_before_the_first_call() -> None:
    from_url("nats://nowhere.invalid", {}).close()
