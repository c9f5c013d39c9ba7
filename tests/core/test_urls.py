"""Broker URLs: their scheme, their options, and a form of them that gives no secret away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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

# User names alone, which may be tokens.
TOKENS = [
    "nats://{}@host:4222",
    "redis://{}:@host",
    "redis://{}@one,{}@two/0",
    "unix://{}@/run/redis.sock",
    "unix://{}@run/redis.sock",
    "redis:///{}@host",
    "sqlite://{}@/a.db",
]

# The same where its host is missing, and a password is taken for a port.
PORTS = [
    "redis://:{}",
    "redis://user:{}",
    "redis://user:{}/0",
    "redis://user:{}?db=1",
    "redis+sentinel://one:1,two:{}/name",
    "redis://[::1]:{}",
    "postgresql://user:{}/db",
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
    "redis://host?username={}",
    "redis://host?login={}",
    "redis://host?pass%77ord={}",
    "redis://host?%74oken={}",
    "redis://host?db=1;password={}",
    "redis://host?db=1;pass%77ord={}",
    "redis://host?db=1%3Bpassword%3D{}",
]

# Both ends of every password are something that appears nowhere else.
HEAD, TAIL = "hunTer", "2forEver"


def passwords(alphabet: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.text(alphabet, max_size=8).map(lambda middle: HEAD + middle + TAIL)


any_character = st.sampled_from("/?#@:%&=+*[]\\ ;,'\"$ä🎈\u2100\n") | st.characters(exclude_categories=["Cs"])


def any_password(*middles: str, but: str = "") -> Callable[[Callable[[str], None]], Callable[[], None]]:
    """Has a test take passwords of any characters but these, and always those with these middles."""

    def decorate(test: Callable[[str], None]) -> Callable[[], None]:
        for middle in middles:
            test = example(HEAD + middle + TAIL)(test)
        return unhurried(given(passwords(any_character.filter(lambda char: char not in but)))(test))

    return decorate


def assert_hidden(text: str) -> None:
    __tracebackhide__ = True
    assert HEAD not in text
    assert TAIL not in text


def assert_redacted(password: str, shapes: Iterable[str]) -> None:
    """Fail if anything of the password is left of URLs of these shapes."""
    __tracebackhide__ = True
    for shape in shapes:
        assert_hidden(redact(shape.replace("{}", password)))


@any_password()
def test_a_percent_encoded_password_never_survives(password: str) -> None:
    assert_redacted(quote(password, safe=""), LOGINS + TOKENS + PORTS + PARAMETERS)


@any_password("/", "?", "#", "@", ":")
def test_a_password_that_somebody_forgot_to_encode_never_survives(password: str) -> None:
    assert_redacted(password, LOGINS)


@any_password("/", "?", "@", but=":")
def test_a_token_that_somebody_forgot_to_encode_never_survives(token: str) -> None:
    assert_redacted(token, [*TOKENS, "redis://{}@one,user:{}@two"])


@any_password("/", "?", ",", but="@")
def test_a_password_in_a_ports_place_never_survives(password: str) -> None:
    assert_redacted(password, PORTS)


@any_password("#", "=", "?", "@", "&", but="&")
def test_a_secret_parameter_that_somebody_forgot_to_encode_never_survives(password: str) -> None:
    assert_redacted(password, PARAMETERS)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pw@host:6379/0", "redis://user:***@host:6379/0"),
        ("redis://:pw@host", "redis://:***@host"),
        ("nats://token@host/news", "nats://***@host/news"),
        ("redis://token:@host", "redis://***@host"),
        ("redis://token@one,user:pw@two", "redis://***@two"),
        ("redis://user:pw", "redis://user:***"),
        ("redis://one:1,two:pw/name", "redis://one:1,two:***"),
        ("redis://host?a=1;password=pw&b=2", "redis://host?a=***&b=2"),
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
        "redis+sentinel://one:1,[::1]:2,three/name",
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
        ("a1.b-c://", "a1.b-c"),
    ],
)
def test_a_scheme_is_what_stands_before_the_colon_in_lower_case(url: str, scheme: str) -> None:
    assert scheme_of(url) == scheme


@pytest.mark.parametrize(
    ("address", "scheme"),
    [
        ("localhost:6379", "redis"),
        ("redis:6379", "redis"),
        ("127.0.0.1:6379/0", "redis"),
        ("[::1]:5432", "postgresql"),
        ("db.example:3306/shop", "mysql"),
        ("cache:7000", "redis"),
    ],
)
def test_an_address_alone_is_refused_with_the_scheme_for_it(address: str, scheme: str) -> None:
    with pytest.raises(ConfigError, match=f"an address alone: put {scheme}:// in front of it"):
        scheme_of(address)


@pytest.mark.parametrize("url", ["sqlite:/x.db", "sqlite:x.db", "redis:/h", "rediss:h"])
def test_what_lacks_its_slashes_is_refused_with_right_ones(url: str) -> None:
    with pytest.raises(ConfigError, match=r"// follows the scheme: redis://localhost:6379, sqlite:///"):
        scheme_of(url)


@pytest.mark.parametrize("url", ["", "memory", "://host", "1redis://host", " redis://host", "re dis://host"])
def test_what_has_no_scheme_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match=r"is no broker URL: one starts with a scheme, as memory:// does"):
        scheme_of(url)


@pytest.mark.parametrize("read", [scheme_of, options_of], ids=["scheme", "options"])
@unhurried
@given(passwords(any_character.filter(lambda char: char != "&")).filter(lambda text: "://" not in text))
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
    ("url", "mends"),
    [
        (f"redis://host?password={HEAD}&{TAIL}", "lacks its =: percent-encode an & that is in one, as %26"),
        (f"redis://host?db=1;password={HEAD}", "separated by &, and not by ;"),
        (f"redis://host?db=1;pass%77ord={HEAD}", "separated by &, and not by ;"),
    ],
)
def test_a_query_that_would_be_taken_apart_within_a_secret_is_refused(url: str, mends: str) -> None:
    with pytest.raises(ConfigError, match=mends) as caught:
        options_of(url)
    assert_hidden(str(caught.value))


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
