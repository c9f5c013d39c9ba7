"""Who is told what isn't for everybody."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Request, redirect

from streamy_core.admission import may_be_told
from streamy_core.errors import ConfigError
from streamy_core.kinds import LOOPBACK
from streamy_core.manager import StreamManager


def asked(address: str, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    context = Flask(__name__).test_request_context(headers=named, environ_overrides={"REMOTE_ADDR": address})
    return context.request


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_is_the_machine_itself(address: str) -> None:
    assert may_be_told(LOOPBACK, asked(address), "X")


@pytest.mark.parametrize("address", ["10.0.0.1", "192.0.2.1", "2001:db8::1", "", "unix:", "localhost"])
def test_loopback_is_nobody_else(address: str) -> None:
    assert not may_be_told(LOOPBACK, asked(address), "X")


PROXIES = ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "x-forwarded-proto"]
PROXIES += [
    "X-Forwarded-Port",
    "X-Original-Forwarded-For",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Client-IP",
]


@pytest.mark.parametrize("name", PROXIES)
def test_who_comes_by_a_proxy_is_not_the_machine_itself(name: str) -> None:
    assert not may_be_told(LOOPBACK, asked("127.0.0.1", **{name: "127.0.0.1"}), "X")


def test_a_function_decides_for_all_and_one_that_fails_lets_nobody_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert may_be_told(lambda request: request.remote_addr == "10.0.0.1", asked("10.0.0.1"), "X")
    assert not may_be_told(lambda _: None, asked("127.0.0.1"), "X")
    assert not may_be_told(None, asked("127.0.0.1"), "X")
    assert not may_be_told(lambda request: request.nothing, asked("127.0.0.1"), "STREAMY_OVERVIEW")
    assert "STREAMY_OVERVIEW has failed, so nobody is told" in caplog.text


async def later(_: Request) -> bool:
    return False


@pytest.mark.parametrize(
    "answer",
    [redirect("/login"), ("no", 403), NotImplemented, (yes for yes in [False])],
    ids=["a redirect to a login", "a view's answer", "NotImplemented", "a generator"],
)
def test_what_is_true_whatever_it_means_lets_nobody_in(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert not may_be_told(lambda _: answer, asked("127.0.0.1"), "X")
    assert "it has to return True or False" in caplog.text


@pytest.mark.filterwarnings("ignore:coroutine 'later' was never awaited")
def test_what_would_have_to_be_awaited_lets_nobody_in() -> None:
    assert not may_be_told(lambda request: later(request), asked("127.0.0.1"), "X")


@pytest.mark.parametrize("setting", ["overview", "health_allow", "metrics_allow"])
def test_an_async_function_is_refused_when_the_app_starts(setting: str) -> None:
    given: dict[str, Any] = {setting: later}
    with pytest.raises(ConfigError, match="async"):
        StreamManager(Flask(__name__), **given)
