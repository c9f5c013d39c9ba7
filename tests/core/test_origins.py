"""Origins: which text is one, what an error says of what is none, and which host one is of."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from streamy_core import ConfigError, StreamManager
from streamy_core.origins import check_origins, is_of_host


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example",
        "http://localhost:5173",
        "https://app.example:8443",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "https://xn--bcher-kva.example",
        "capacitor://localhost",
        "chrome-extension://abcdefghijklmnop",
    ],
)
def test_an_origin_is_taken_as_browsers_say_it(origin: str) -> None:
    assert check_origins(origin) == check_origins([origin]) == check_origins({origin}) == (origin,)


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("https://app.example/", "https://app.example"),
        ("https://app.example/stream?a=1#b", "https://app.example"),
        ("HTTPS://App.Example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("https://ann:secret@app.example", "https://app.example"),
        ("http://[::A]", "http://[::a]"),
        ("app.example", "https://app.example"),
        ("//app.example", "https://app.example"),
        (" https://app.example", "https://app.example"),
    ],
)
def test_what_is_nearly_one_is_told_the_right_spelling(given: str, right: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"write {right!r}")):
        check_origins(["https://fine.example", given])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("*", "any site's pages could read"),
        ("null", "sandboxed frames"),
        ("https://*.example", "named by itself"),
        ("", "spelled like"),
        ("https://", "spelled like"),
        ("https://app.example:port", "spelled like"),
        ("https://app.example:99999", "spelled like"),
        ("https://a.example, https://b.example", "spelled like"),
        ("https://a.example\r\nX: y", "spelled like"),
        (5, "a list of texts"),
        ({"https://app.example": True}, "a list of texts"),
        ([5], "is text such as"),
        ([b"https://app.example"], "is text such as"),
    ],
)
def test_what_is_none_is_refused_with_a_reason(given: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_origins(given)


def test_a_wrong_one_in_the_config_is_named_at_start() -> None:
    app = Flask(__name__)
    app.config["STREAMY_ALLOW_ORIGINS"] = ["https://app.example/"]
    with pytest.raises(
        ConfigError, match=r"^STREAMY_ALLOW_ORIGINS: 'https://app.example/' .* 'https://app.example'"
    ):
        StreamManager(app)


@pytest.mark.parametrize(
    ("origin", "host", "is_of"),
    [
        ("https://app.example", "app.example", True),
        ("https://app.example", "APP.example:443", True),
        ("https://app.example", "app.example:80", True),
        ("http://app.example:8080", "app.example:8080", True),
        ("http://app.example:8080", "app.example", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://app.example:8080", "app.example:8081", False),
        ("https://app.example", "app.example:8080", False),
        ("https://app.example", "other.example", False),
        ("https://app.example", "app.example.evil.example", False),
        ("https://app.example", "", False),
        ("null", "null", False),
        ("https://app.example:nonsense", "app.example", False),
    ],
)
def test_an_origin_is_of_a_host_whatever_a_proxy_says_of_scheme_and_port(
    origin: str, host: str, is_of: bool
) -> None:
    assert is_of_host(origin, host) is is_of


@pytest.mark.parametrize(
    "given", ["https://b\u00fccher.example", "https://stra\u00dfe.de", "https://\u03c2.example"]
)
def test_of_another_script_nobody_guesses_the_spelling(given: str) -> None:
    with pytest.raises(ConfigError, match=r"location\.origin"):
        check_origins(given)
