"""Options are declared in one place, and what is wrong with one is said with its name and its cure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamy_core import ConfigError
from streamy_core.options import (
    flag,
    instance,
    mapping,
    one_of,
    option,
    optional,
    parse_options,
    seconds,
    text,
    whole,
)


@runtime_checkable
class Duck(Protocol):
    def quack(self) -> str: ...


class Mallard:
    def quack(self) -> str:
        return "quack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a pond has."""

    history: int = option(1_000, whole(1), doc="How many.")
    replicas: int = option(0, whole(0, 5))
    timeout: float = option(5.0, seconds())
    tls: bool = option(False, flag())
    prefix: str = option("streamy", text("text without braces", lambda value: "{" not in value))
    mode: str = option("full", one_of("full", "normal"))
    password: str = option("", text("a password", lambda value: len(value) > 3), secret=True)
    duck: Duck | None = option(None, optional(instance(Duck, "a duck")))
    more: dict[str, Any] = option(dict, mapping())


def parse(**given: Any) -> Options:
    return parse_options(Options, given, "pond option {!r}".format)


def test_what_is_not_given_has_its_default() -> None:
    assert parse() == Options()
    assert Options().history == 1_000
    assert Options().more == {}


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"history": 5}, 5),
        ({"history": "5"}, 5),
        ({"timeout": 1}, 1.0),
        ({"timeout": "0.25"}, 0.25),
        ({"tls": True}, True),
        ({"tls": "Yes"}, True),
        ({"tls": "off"}, False),
        ({"mode": "normal"}, "normal"),
        ({"more": {"a": 1}}, {"a": 1}),
    ],
    ids=repr,
)
def test_a_value_is_taken_as_it_is_or_as_text(given: dict[str, Any], value: Any) -> None:
    (name,) = given
    assert getattr(parse(**given), name) == value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"history": 0}, "pond option 'history' has to be a whole number from 1, not 0"),
        ({"history": "many"}, "pond option 'history' has to be a whole number from 1, not 'many'"),
        ({"history": True}, "pond option 'history' has to be a whole number from 1, not True"),
        ({"history": 1.5}, "pond option 'history' has to be a whole number from 1, not 1.5"),
        ({"replicas": 6}, "pond option 'replicas' has to be a whole number from 0 to 5, not 6"),
        ({"timeout": 0}, "pond option 'timeout' has to be a number of seconds above 0"),
        ({"timeout": "nan"}, "pond option 'timeout' has to be a number of seconds above 0"),
        ({"timeout": "inf"}, "pond option 'timeout' has to be a number of seconds above 0"),
        ({"tls": 1}, "pond option 'tls' has to be true or false, not 1"),
        ({"tls": "maybe"}, "pond option 'tls' has to be true or false, not 'maybe'"),
        ({"prefix": "a{b}"}, "pond option 'prefix' has to be text without braces, not 'a{b}'"),
        ({"mode": "fast"}, "pond option 'mode' has to be one of full, normal, not 'fast'"),
        ({"duck": Mallard}, "pond option 'duck' has to be a duck, or None, not "),
        ({"more": [("a", 1)]}, "pond option 'more' has to be a dict by names, not "),
    ],
    ids=repr,
)
def test_a_value_that_can_not_be_is_refused_with_what_it_should_be(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(**given)
    assert str(refusal.value).startswith(message)


def test_a_secret_is_shown_neither_by_an_error_nor_by_repr() -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(password="pw1")
    assert str(refusal.value) == "pond option 'password' has to be a password, not str"
    assert "hunter2" not in repr(parse(password="hunter2"))


def test_an_unknown_option_is_told_its_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"^pond option 'histroy' is unknown: did you mean 'history'\?$"):
        parse(histroy=5)


def test_an_option_that_is_like_none_is_told_them_all() -> None:
    with pytest.raises(ConfigError, match=r"^pond option 'xyz' is unknown: there are duck, history, "):
        parse(xyz=5)


@given(st.sampled_from(["history", "timeout", "tls", "prefix", "mode", "duck", "more"]), st.text())
def test_any_text_is_taken_or_refused_by_a_config_error(name: str, value: str) -> None:
    with suppress(ConfigError):
        assert isinstance(parse(**{name: value}), Options)
