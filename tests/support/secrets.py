"""Configs that hold a password where one may stand, and all texts that come of them."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pytest
from flask import Flask
from hypothesis import strategies as st

from streamy_core import StreamManager
from streamy_core.errors import BrokerUnavailable, ConfigError, PublishFailed

PART: Final = "hunTer2"
"""What each part of a password is, between characters that are special in URLs."""


class Place(NamedTuple):
    """A URL in which a password stands for {}.

    unclear: characters that mean something else there for everybody, unless they are percent-encoded.
    """

    shape: str
    unclear: str = ""


_LOGINS = [
    "redis://user:{}@127.0.0.1:1/0",
    "redis://:{}@127.0.0.1:1/0",
    "redis://user:1{}@127.0.0.1:1/0?db=1",
    "redis+sentinel://user:{}@127.0.0.1:1,127.0.0.1:1/name?timeout=0.1",
    "redis+cluster://user:{}@127.0.0.1:1?timeout=0.1",
    "unix://:{}@/run/nobody.sock",
    "postgresql://user:{}@127.0.0.1:1/db",
    "mariadb://user:{}@127.0.0.1:1/db",
    "mysql://user:1{}@127.0.0.1:1/db?timeout=1",
    "nothing://user:{}@host",
]
_TOKENS = [
    "redis://{}@127.0.0.1:1/0",
    "redis://{}:@127.0.0.1:1/0",
    "redis+sentinel://{}@127.0.0.1:1/name?timeout=0.1",
    "unix://{}@/run/nobody.sock",
    "postgresql://{}@127.0.0.1:1/db",
    "nothing://{}@host",
]
_PARAMETERS = [
    "redis://127.0.0.1:1/0?password={}",
    "redis://127.0.0.1:1/0?pass%77ord={}",
    "redis://127.0.0.1:1/0?token={}",
    "redis://127.0.0.1:1/0?username={}",
    "redis://127.0.0.1:1/0?db=1;password={}",
    "redis+cluster://127.0.0.1:1?timeout=0.1&password={}",
    "postgresql://127.0.0.1:1/db?password={}",
    "sqlite:///no/such/folder/streams.db?password={}",
    "memory://?password={}",
    "memory://?history=1;password={}",
]
_PORTS = [
    "redis://:{}",
    "redis://user:{}/0",
    "redis+sentinel://127.0.0.1:1,user:{}/name",
    "postgresql://user:{}/db",
]

PLACES: Final = [
    *(Place(shape) for shape in _LOGINS),
    *(Place(shape, ":") for shape in _TOKENS),
    *(Place(shape, "&") for shape in _PARAMETERS),
    *(Place(shape, "@") for shape in _PORTS),
]

special: Final = st.sampled_from(["?x=", "&x=", "/?", "#/"]) | st.sampled_from("/?#@:%&=+[]\\ ,;'\"")
"""What means something in URLs."""


def told_of(config: Mapping[str, Any], caplog: pytest.LogCaptureFixture) -> str:
    """All that is shown of an app with this config: representations, errors with their traces, logs."""
    caplog.clear()
    app = Flask("app")
    app.config.update(config, STREAMY_MAX_RETRIES=0)
    shown: list[str] = []
    with caplog.at_level(logging.DEBUG, logger="streamy"):
        try:
            with StreamManager(app) as sse:
                shown += [repr(sse.broker), repr(sse.binding.settings)]
                sse.send_event("news", "hello")
        except (ConfigError, BrokerUnavailable, PublishFailed) as error:
            shown += ["".join(traceback.format_exception(error)), repr(error)]
    return "\n".join([*shown, caplog.text])
