"""No password gets out: not by a log, an error or a `repr`, however a URL is written."""

from __future__ import annotations

import logging
import traceback

import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streamy_core import StreamManager
from streamy_core.errors import StreamyError

pytestmark = pytest.mark.slow

PART = "hunTer2"
"""What each part of a password is, between characters that are special in URLs."""

PLACES = [
    "redis://user:{}@127.0.0.1:1/0",
    "redis://:{}@127.0.0.1:1/0",
    "redis://127.0.0.1:1/0?password={}",
    "redis://user:1{}@127.0.0.1:1/0?db=1",
    "redis+sentinel://user:{}@127.0.0.1:1,127.0.0.1:1/name?timeout=0.1",
    "redis+cluster://127.0.0.1:1?timeout=0.1&password={}",
    "unix://:{}@/run/nobody.sock",
    "postgresql://user:{}@127.0.0.1:1/db",
    "postgresql://127.0.0.1:1/db?password={}",
    "mariadb://user:{}@127.0.0.1:1/db",
    "mysql://user:1{}@127.0.0.1:1/db?timeout=1",
    "sqlite:///no/such/folder/streams.db?password={}",
    "memory://?password={}",
    "nothing://user:{}@host",
]


special = st.sampled_from(["?x=", "&x=", "/?", "#/"]) | st.sampled_from("/?#@:%&=+[]\\ ,;'\"")


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(glue=st.lists(special, max_size=3))
@example(glue=["?", "="])
@example(glue=["?x=", "@"])
@example(glue=["&", "="])
def test_a_password_is_in_no_text(place: str, glue: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    if "password={}" in place:  # where an & begins the next parameter, for everybody
        glue = [text.replace("&", "") for text in glue]
    url = place.replace("{}", PART.join(["", *glue, ""]))
    app = Flask("app")
    app.config.update(STREAMY_BROKER_URL=url, STREAMY_MAX_RETRIES=0)
    shown: list[str] = []
    with caplog.at_level(logging.DEBUG, logger="streamy"):
        try:
            with StreamManager(app) as sse:
                shown += [repr(sse.broker), repr(sse.binding.settings)]
                sse.send_event("news", "hello")
        except StreamyError as error:
            shown += ["".join(traceback.format_exception(error)), repr(error)]
    said = "\n".join([*shown, caplog.text])
    assert said.strip()
    assert PART not in said, said
