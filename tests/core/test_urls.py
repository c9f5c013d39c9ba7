"""Broker URLs: their scheme, their options, and a form of them that gives no secret away."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streamy_core.errors import ConfigError
from streamy_core.urls import options_of, redact, redact_options, scheme_of

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# The places where a password stands before an @, in URLs as they should be and as people mistype them.
LOGINS = [
    "redis://user:{}@host:6379/0",
    "redis://:{}@host",
    "rediss://user:{}@host?ssl=true",
    "redis+sentinel://user:{}@one:1,two:2/name",
    "redis://user:{}@one,user:{}@two",
    "unix://:{}@/run/redis.sock",
    "postgresql+psycopg://user:{}@/db",
    "redis://user:{}@host:notaport",
    "redis://user:{}@[::1",
    "redis://user%40home:{}@host",
    " redis://user:{}@host",
    "redis:://user:{}@host",
    "REDIS://user:{}@host",
    "//user:{}@host",
    "1redis://user:{}@host",
    "redis:/user:{}@host",
    "redis:user:{}@host",
    "user:{}@host",
    ":{}@host",
    "redis://host?sentinel=redis://user:{}@other",
    "redis://user:{}@host?sentinel=redis://user:{}@other",
    "redis://user:?{}@host",
    "redis://user:x?x={}@host",
    "redis://?x={}@host",
    "redis://user:?password=@{}@host",
]

# The same in a query.
PARAMETERS = [
    "redis://host?password={}",
    "redis://host:6379/0?password={}",
    "redis://user:pw@host:6379/0?password={}",
    "redis://host/0?a=1&password={}&b=2",
    "redis://user@host?PASSWORD={}",
    "nats://host?api_key={}",
    "nats://host?token={}",
    "mysql://host/db?passwd={}",
    "postgresql:///db?sslpassword={}",
    "kafka://host?client_secret={}",
    "kafka://host?credentials={}",
    "redis://host?password={}&password={}",
    "redis://host?password={}#here",
    "?password={}",
    "host?password={}",
]

# Both ends of every password are something that appears nowhere else.
HEAD, TAIL = "hunTer", "2forEver"


def passwords(alphabet: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.text(alphabet, max_size=8).map(lambda middle: HEAD + middle + TAIL)


any_character = st.sampled_from("/?#@:%&=+*[]\\ ;,'\"$ä🎈\u2100\n") | st.characters(exclude_categories=["Cs"])


def assert_hidden(text: str) -> None:
    __tracebackhide__ = True
    assert HEAD not in text
    assert TAIL not in text


@unhurried
@given(passwords(any_character))
def test_a_percent_encoded_password_never_survives(password: str) -> None:
    for shape in LOGINS + PARAMETERS:
        assert_hidden(redact(shape.replace("{}", quote(password, safe=""))))


@unhurried
@given(passwords(any_character))
@example(HEAD + "/" + TAIL)
@example(HEAD + "?" + TAIL)
@example(HEAD + "#" + TAIL)
@example(HEAD + "@" + TAIL)
@example(HEAD + ":" + TAIL)
def test_a_password_that_somebody_forgot_to_encode_never_survives(password: str) -> None:
    for shape in LOGINS:
        assert_hidden(redact(shape.replace("{}", password)))


@unhurried
@given(passwords(any_character.filter(lambda char: char != "&")))
@example(HEAD + "#" + TAIL)
@example(HEAD + "=" + TAIL)
@example(HEAD + "?" + TAIL)
@example(HEAD + "@" + TAIL)
@example(HEAD + "&" + TAIL)
def test_a_secret_parameter_that_somebody_forgot_to_encode_never_survives(password: str) -> None:
    for shape in PARAMETERS:
        assert_hidden(redact(shape.replace("{}", password)))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pw@host:6379/0", "redis://user:***@host:6379/0"),
        ("redis://:pw@host", "redis://:***@host"),
        ("redis://host?a=1&password=pw&b=2", "redis://host?a=1&password=***&b=2"),
    ],
)
def test_what_is_no_secret_stays_to_be_seen(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "memory://?history=50&history_age=60",
        "redis://host:6379/0",
        "redis://user@host",
        "sqlite:///a@b.db",
        "",
    ],
)
def test_a_url_without_a_secret_is_shown_whole(url: str) -> None:
    assert redact(url) == url


@unhurried
@given(st.text())
def test_redacting_never_fails_and_twice_is_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


# -- schemes


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("memory://", "memory"),
        ("REDIS://host", "redis"),
        ("postgresql+psycopg://h", "postgresql+psycopg"),
        ("a1.b-c:", "a1.b-c"),
    ],
)
def test_a_scheme_is_what_stands_before_the_colon_in_lower_case(url: str, scheme: str) -> None:
    assert scheme_of(url) == scheme


@pytest.mark.parametrize("url", ["", "memory", "://host", "1redis://host", " redis://host", "re dis://host"])
def test_what_has_no_scheme_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match=r"is no broker URL: one starts with a scheme, as memory:// does"):
        scheme_of(url)


@pytest.mark.parametrize("read", [scheme_of, options_of], ids=["scheme", "options"])
@unhurried
@given(passwords(any_character.filter(lambda char: char != "&")))
@example(HEAD + "/" + TAIL)
@example(HEAD + "\u2100" + TAIL)
def test_an_error_is_a_config_error_and_never_shows_a_secret(
    read: Callable[[str], object], password: str
) -> None:
    for shape in [*LOGINS, *PARAMETERS, "{}", "{}@host", "/{}", ":{}"]:
        try:
            read(shape.replace("{}", password))
        except ConfigError as error:
            assert_hidden(str(error))


# -- options


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("memory://", {}),
        ("memory://?history=50&history_age=1.5", {"history": "50", "history_age": "1.5"}),
        ("memory://?a=&b=x%20%26y", {"a": "", "b": "x &y"}),
        ("redis://u:p@h/0?db=1#here", {"db": "1"}),
    ],
)
def test_options_are_what_the_query_says(url: str, options: dict[str, str]) -> None:
    assert options_of(url) == options


@pytest.mark.parametrize(
    "name", ["password", "PASSWD", "pwd", "auth_token", "api_key", "client_secret", "credentials"]
)
def test_a_secret_looking_option_is_hidden(name: str) -> None:
    assert redact_options({name: HEAD, "db": 1}) == {name: "***", "db": 1}


@pytest.mark.parametrize(
    "options",
    [
        {"sentinel_kwargs": {"password": HEAD, "db": 1}},
        {"connect_args": {"ssl": {"password": HEAD}}},
        {"nodes": [{"host": "one", "password": HEAD}]},
        {"dsn": f"postgresql://user:{HEAD}@host/db"},
        {"nodes": [f"redis://user:{HEAD}@one"]},
    ],
    ids=["dict", "dict in dict", "list of dicts", "URL", "list of URLs"],
)
def test_a_secret_further_inside_an_option_is_hidden_too(options: dict[str, object]) -> None:
    assert_hidden(repr(redact_options(options)))
