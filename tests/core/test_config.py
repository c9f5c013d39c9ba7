"""`app.config` -> settings: every key's default, what is taken, what is refused, and which source wins."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, fields
from posixpath import dirname
from typing import Any

import pytest
from flask import Flask
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import CollectorRegistry

from streamy_core.config import MANAGERS, Settings, known_keys, load_settings
from streamy_core.errors import ConfigError
from streamy_core.events import MAX_RETRY_MS
from streamy_core.observers import Observer
from streamy_core.observers.logs import Logs
from streamy_core.observers.metrics.prometheus import PrometheusInstruments
from streamy_core.observers.traces.opentelemetry import OpenTelemetryTracer
from streamy_core.strategies.clock import SystemClock
from streamy_core.strategies.keepalive import FixedInterval, Jittered, Never
from streamy_core.strategies.retry import ExponentialBackoff, FixedDelay, NoRetry
from streamy_core.strategies.slow_clients import Disconnect, SkipToLatest
from streamy_core.wire import encode_retry

INF, NAN = float("inf"), float("nan")
SECRET = "hunter2"

DEFAULTS = {
    "broker_url": "memory://",
    "broker_options": {},
    "max_event_bytes": 1_048_576,
    "max_retries": 3,
    "retry_policy": None,
    "end_stream_on_failure": False,
    "keep_alive": FixedInterval(30.0),
    "reconnect_delay": 3.0,
    "delivery": "auto",
    "wsgi_slots": None,
    "max_connections": None,
    "max_connections_per_key": None,
    "max_connections_per_key_total": None,
    "max_opens_per_minute": None,
    "max_streams_per_connection": 100,
    "allow_origins": (),
    "refuse_cross_site": True,
    "max_connection_age": None,
    "recheck": None,
    "recheck_many": None,
    "recheck_every": 15.0,
    "recheck_timeout": 5.0,
    "recheck_failure": "disconnect",
    "level_workers": False,
    "slow_client_policy": Disconnect(),
    "tcp_user_timeout": 30.0,
    "window_entries": 1_000,
    "window_bytes": 1_048_576,
    "watchdog_interval": 30.0,
    "observers": (),
    "canary_interval": 2.0,
    "health_allow": None,
    "overview": None,
    "overview_data": False,
    "metrics": None,
    "metrics_allow": None,
    "stream_group": None,
    "traces": None,
    "outbox_events": 10_000,
    "outbox_bytes": 2**24,
    "outbox_retry_policy": None,
    "outbox_flush_timeout": 5.0,
    "run_threads": 200,
    "run_grace": 25.0,
    "clock": SystemClock(),
}


class Quiet(Observer):
    def __repr__(self) -> str:
        return "Quiet()"


LOGS = Quiet()
INSTRUMENTS = PrometheusInstruments(CollectorRegistry())
TRACER = OpenTelemetryTracer(NoOpTracerProvider())


TAKEN: list[tuple[str, Any, Any]] = [
    ("broker_url", "redis://user:pw@host/0", "redis://user:pw@host/0"),
    ("broker_options", {"history": 50}, {"history": 50}),
    ("max_event_bytes", 1, 1),
    ("max_retries", 0, 0),
    ("retry_policy", NoRetry(), NoRetry()),
    ("retry_policy", None, None),
    ("end_stream_on_failure", True, True),
    ("keep_alive", 15, FixedInterval(15.0)),
    ("keep_alive", 0.5, FixedInterval(0.5)),
    ("keep_alive", "15", FixedInterval(15.0)),
    ("keep_alive", Never(), Never()),
    ("reconnect_delay", 1, 1.0),
    ("reconnect_delay", 0.25, 0.25),
    ("delivery", "auto", "auto"),
    ("delivery", "detached", "detached"),
    ("delivery", "wsgi", "wsgi"),
    ("wsgi_slots", 0, 0),
    ("wsgi_slots", None, None),
    ("max_connections", 1, 1),
    ("max_connections", None, None),
    ("max_connections_per_key", 1, 1),
    ("max_connections_per_key", None, None),
    ("max_connections_per_key_total", 1, 1),
    ("max_connections_per_key_total", None, None),
    ("max_opens_per_minute", 1, 1),
    ("max_opens_per_minute", None, None),
    ("max_streams_per_connection", 1, 1),
    ("max_streams_per_connection", 100, 100),
    ("allow_origins", "https://app.example", ("https://app.example",)),
    (
        "allow_origins",
        ["https://app.example", "http://localhost:5173"],
        ("https://app.example", "http://localhost:5173"),
    ),
    ("refuse_cross_site", False, False),
    ("refuse_cross_site", "false", False),
    ("max_connection_age", 60, 60.0),
    ("max_connection_age", None, None),
    ("recheck", load_settings, load_settings),
    ("recheck", "streamy_core.config:load_settings", load_settings),
    ("recheck", None, None),
    ("recheck_many", "streamy_core.config.load_settings", load_settings),
    ("recheck_many", None, None),
    ("recheck_every", 60, 60.0),
    ("recheck_timeout", 0.5, 0.5),
    ("recheck_failure", "keep", "keep"),
    ("level_workers", True, True),
    ("level_workers", "true", True),
    ("slow_client_policy", SkipToLatest(), SkipToLatest()),
    ("tcp_user_timeout", 5, 5.0),
    ("window_entries", 1, 1),
    ("window_entries", "15", 15),
    ("end_stream_on_failure", "true", True),
    ("reconnect_delay", "1.5", 1.5),
    ("window_bytes", 1, 1),
    ("watchdog_interval", 0.1, 0.1),
    ("observers", [LOGS], (LOGS,)),
    ("canary_interval", 10, 10.0),
    ("overview", None, None),
    ("overview", "loopback", "loopback"),
    ("overview", callable, callable),
    ("overview_data", True, True),
    ("health_allow", None, None),
    ("health_allow", "loopback", "loopback"),
    ("health_allow", callable, callable),
    ("health_allow", "builtins:callable", callable),
    ("metrics", None, None),
    ("metrics", INSTRUMENTS, INSTRUMENTS),
    ("metrics_allow", len, len),
    ("metrics_allow", "builtins:len", len),
    ("stream_group", str.lower, str.lower),
    ("stream_group", "posixpath:dirname", dirname),
    ("traces", None, None),
    ("traces", TRACER, TRACER),
    ("outbox_events", 1, 1),
    ("outbox_bytes", "1000", 1000),
    ("outbox_retry_policy", NoRetry(), NoRetry()),
    ("outbox_retry_policy", None, None),
    ("outbox_flush_timeout", 0.5, 0.5),
    ("run_threads", 1, 1),
    ("run_grace", 0, 0.0),
    ("clock", SystemClock(), SystemClock()),
]

NO_WHOLE_NUMBERS = [-1, 1.0, "1.0", "one", True]
NO_SECONDS = [0, -1, "1 s", True, INF, -INF, NAN]

REFUSED: list[tuple[str, Any]] = [
    *[("broker_url", value) for value in ["", "host", "//host", None, 1, b"memory://"]],
    *[("broker_options", value) for value in ["history=50", [("history", 50)], {1: 2}, None]],
    *[("max_event_bytes", value) for value in [0, None, *NO_WHOLE_NUMBERS]],
    *[("max_retries", value) for value in [None, *NO_WHOLE_NUMBERS]],
    *[("retry_policy", value) for value in [3, "backoff", True, object, ExponentialBackoff]],
    *[("end_stream_on_failure", value) for value in [0, 1, "truth", None]],
    *[("keep_alive", value) for value in [None, Jittered, "15s", "-1", ".", *NO_SECONDS]],
    *[("reconnect_delay", value) for value in [None, *NO_SECONDS]],
    *[("delivery", value) for value in ["", "Auto", "threads", None, True, ["auto"]]],
    *[("wsgi_slots", value) for value in NO_WHOLE_NUMBERS],
    *[("max_connections", value) for value in [0, *NO_WHOLE_NUMBERS]],
    *[("max_connections_per_key", value) for value in [0, *NO_WHOLE_NUMBERS]],
    *[("max_connections_per_key_total", value) for value in [0, *NO_WHOLE_NUMBERS]],
    *[("max_opens_per_minute", value) for value in [0, *NO_WHOLE_NUMBERS]],
    *[("max_streams_per_connection", value) for value in [0, 101, None, *NO_WHOLE_NUMBERS]],
    *[("allow_origins", value) for value in [None, "", "*", ["null"], ["https://app.example/"], 5, {}, [5]]],
    *[("refuse_cross_site", value) for value in [0, 1, "no!", None]],
    *[("max_connection_age", value) for value in NO_SECONDS],
    *[("recheck", value) for value in [True, 1, "may_read", "nowhere:it", Disconnect, ["a"]]],
    *[("recheck_many", value) for value in [False, "may_read", Disconnect]],
    *[("recheck_every", value) for value in [None, *NO_SECONDS]],
    *[("recheck_timeout", value) for value in [None, *NO_SECONDS]],
    *[("recheck_failure", value) for value in ["", "close", None, True]],
    ("level_workers", "perhaps"),
    ("level_workers", 2),
    *[("slow_client_policy", value) for value in [None, "skip", Disconnect]],
    *[("tcp_user_timeout", value) for value in [None, *NO_SECONDS]],
    *[("window_entries", value) for value in [0, None, *NO_WHOLE_NUMBERS]],
    *[("window_bytes", value) for value in [0, None, *NO_WHOLE_NUMBERS]],
    *[("watchdog_interval", value) for value in [None, *NO_SECONDS]],
    *[("canary_interval", value) for value in [None, *NO_SECONDS]],
    *[("overview", value) for value in ["", "everybody", "no.such:name", True, ["loopback"], Quiet]],
    ("overview_data", "perhaps"),
    *[("health_allow", value) for value in ["", "everybody", "no.such:name", True, ["loopback"], Quiet]],
    *[("outbox_events", value) for value in [0, None, *NO_WHOLE_NUMBERS]],
    *[("outbox_bytes", value) for value in [0, None, *NO_WHOLE_NUMBERS]],
    *[("outbox_retry_policy", value) for value in [3, "backoff", object, ExponentialBackoff]],
    *[("outbox_flush_timeout", value) for value in [None, *NO_SECONDS]],
    *[("run_threads", value) for value in [0, None, *NO_WHOLE_NUMBERS]],
    *[("run_grace", value) for value in [None, *NO_SECONDS[1:]]],
    *[("clock", value) for value in [None, "time.monotonic", time.monotonic, SystemClock]],
    *[("metrics", value) for value in ["", "statsd", 5, True, PrometheusInstruments]],
    *[("metrics_allow", value) for value in ["", "builtins:nothing", 5, True, bool]],
    *[("stream_group", value) for value in ["", "builtins:nothing", 5, {}, str]],
    *[("traces", value) for value in ["", "zipkin", 5, True, TracerProvider, OpenTelemetryTracer]],
    *[("observers", value) for value in [None, "streamy_core.observers.logs:Logs", LOGS, [Logs], [1]]],
]


def key_of(name: str) -> str:
    return "STREAMY_" + name.upper()


def case_id(value: object) -> str:
    """The same in every process: without addresses."""
    return re.sub(r" at 0x\w+", "", str(getattr(value, "__qualname__", repr(value))))


# -- defaults


def test_without_a_word_of_config_everything_has_its_default() -> None:
    settings = load_settings({})
    assert {item.name: getattr(settings, item.name) for item in fields(Settings)} == DEFAULTS


def test_the_reference_table_has_every_key_with_its_default_and_a_sentence() -> None:
    rows = known_keys()
    assert {row.name: row.default for row in rows} == {
        **{key_of(name): value for name, value in DEFAULTS.items()},
        MANAGERS: {},
    }
    assert all(row.doc.endswith(".") for row in rows)


def test_other_extensions_keys_are_none_of_our_business() -> None:
    assert load_settings({"SECRET_KEY": "x", "SSE_REDIS_URL": 1, "streamy_lower": 2}) == load_settings({})


# -- every key


def test_these_tests_speak_of_every_key() -> None:
    every = {item.name for item in fields(Settings)}
    assert {name for name, _, _ in TAKEN} == {name for name, _ in REFUSED} == every


@pytest.mark.parametrize(("name", "value", "meant"), TAKEN, ids=case_id)
def test_a_right_value_is_taken(name: str, value: Any, meant: Any) -> None:
    taken = getattr(load_settings({key_of(name): value}), name)
    assert taken == meant
    assert type(taken) is type(meant)


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=case_id)
def test_a_wrong_value_is_refused_and_its_key_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{key_of(name)}(:| has to be)"):
        load_settings({key_of(name): value})


@pytest.mark.parametrize(("name", "value"), [("max_retries", "many"), ("reconnect_delay", -1)])
def test_a_refusal_shows_what_was_given(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"not {value!r}$"):
        load_settings({key_of(name): value})


@pytest.mark.parametrize("name", ["keep_alive", "reconnect_delay", "watchdog_interval"])
def test_a_number_of_seconds_beyond_all_floats_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=key_of(name)):
        load_settings({key_of(name): 10**400})


@pytest.mark.parametrize("name", ["keep_alive", "watchdog_interval"])
def test_seconds_that_no_thread_can_wait_for_are_refused(name: str) -> None:
    # threading.TIMEOUT_MAX: beyond it, waiting raises OverflowError in the thread that waits.
    with pytest.raises(ConfigError, match=key_of(name)):
        load_settings({key_of(name): 1e18})


def test_a_reconnect_delay_that_can_not_be_sent_is_refused_at_start_up() -> None:
    with pytest.raises(ConfigError, match="STREAMY_RECONNECT_DELAY"):
        load_settings({"STREAMY_RECONNECT_DELAY": (MAX_RETRY_MS + 1) / 1000})


def test_the_longest_reconnect_delay_can_be_sent() -> None:
    settings = load_settings({"STREAMY_RECONNECT_DELAY": MAX_RETRY_MS / 1000})
    assert encode_retry(round(settings.reconnect_delay * 1000)) == b"retry: 2147483647\n"


# -- unknown keys


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("STREAMY_BROKER_URI", "STREAMY_BROKER_URL"),
        ("STREAMY_BROKERURL", "STREAMY_BROKER_URL"),
        ("STREAMY_MAX_RETRY", "STREAMY_MAX_RETRIES"),
        ("STREAMY_KEEPALIVE", "STREAMY_KEEP_ALIVE"),
        ("STREAMY_MANAGER", "STREAMY_MANAGERS"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_suggested(wrong: str, right: str) -> None:
    with pytest.raises(ConfigError, match=rf"unknown key {wrong}; did you mean {right}\?"):
        load_settings({wrong: "x"})


def test_an_unknown_key_that_is_near_to_none_lists_them_all() -> None:
    with pytest.raises(ConfigError, match=r"known: .*STREAMY_BROKER_URL.*STREAMY_WINDOW_ENTRIES"):
        load_settings({"STREAMY_QQQQQQQQQQQQQQQQQQQQQQQQ": "x"})


def test_an_unknown_argument_is_refused_and_the_nearest_suggested() -> None:
    with pytest.raises(
        ConfigError, match=r"StreamManager: unknown key max_retry; did you mean max_retries\?"
    ):
        load_settings({}, given={"max_retry": 1})


def test_an_unknown_key_of_a_manager_is_refused_whichever_manager_is_meant() -> None:
    config = {MANAGERS: {"alerts": {"BROKER_URI": "memory://"}}}
    with pytest.raises(
        ConfigError, match=r"STREAMY_MANAGERS\['alerts'\]: unknown key BROKER_URI; .*BROKER_URL\?"
    ):
        load_settings(config, "default")


# -- managers


@pytest.mark.parametrize(
    "managers",
    [None, "alerts", ["alerts"], {"alerts": None}, {"alerts": "memory://"}, {"alerts": {1: 2}}],
    ids=repr,
)
def test_managers_that_are_no_dict_of_dicts_are_refused(managers: Any) -> None:
    with pytest.raises(ConfigError, match="STREAMY_MANAGERS"):
        load_settings({MANAGERS: managers})


def test_a_wrong_value_of_a_manager_names_the_manager_and_the_key() -> None:
    with pytest.raises(ConfigError, match=r"^STREAMY_MANAGERS\['alerts'\]\['MAX_RETRIES'\] has to be"):
        load_settings({MANAGERS: {"alerts": {"MAX_RETRIES": "x"}}}, "alerts")


def test_a_wrong_argument_names_the_argument() -> None:
    with pytest.raises(ConfigError, match=r"^argument max_retries of StreamManager has to be"):
        load_settings({}, given={"max_retries": "x"})


COMMON = {"STREAMY_MAX_RETRIES": 1}
SECTION = {MANAGERS: {"alerts": {"MAX_RETRIES": 2}}}
ARGUMENT = {"max_retries": 3}


@pytest.mark.parametrize(
    ("config", "given", "retries"),
    [
        (COMMON, {}, 1),
        (COMMON | SECTION, {}, 2),
        (COMMON | SECTION, ARGUMENT, 3),
        (COMMON, ARGUMENT, 3),
        (SECTION, {}, 2),
        (SECTION, ARGUMENT, 3),
    ],
)
def test_an_argument_wins_over_the_managers_own_key_and_that_over_the_common_one(
    config: Mapping[str, Any], given: Mapping[str, Any], retries: int
) -> None:
    assert load_settings(config, "alerts", given).max_retries == retries


def test_what_a_manager_does_not_say_itself_comes_from_the_common_keys() -> None:
    config = {**COMMON, "STREAMY_RECONNECT_DELAY": 9, **SECTION}
    settings = load_settings(config, "alerts")
    assert (settings.max_retries, settings.reconnect_delay) == (2, 9.0)


def test_one_managers_keys_are_no_others() -> None:
    assert load_settings({**COMMON, **SECTION}, "news").max_retries == 1
    assert load_settings({**COMMON, **SECTION}).max_retries == 1


# -- the environment


@pytest.fixture
def from_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """The settings of an app that is told so by `FLASK_STREAMY_…`."""

    def load(name: str = "default", /, **variables: str) -> Settings:
        for variable, value in variables.items():
            monkeypatch.setenv(f"FLASK_STREAMY_{variable}", value)
        app = Flask("app")
        app.config.from_prefixed_env()
        return load_settings(app.config, name)

    return load


def test_keys_may_come_from_the_environment(from_environment: Callable[..., Settings]) -> None:
    settings = from_environment(BROKER_URL="redis://host:6379/0", MAX_RETRIES="5", RECONNECT_DELAY="1.5")
    assert (settings.broker_url, settings.max_retries, settings.reconnect_delay) == (
        "redis://host:6379/0",
        5,
        1.5,
    )


def test_flags_and_options_may_come_from_the_environment(from_environment: Callable[..., Settings]) -> None:
    settings = from_environment(END_STREAM_ON_FAILURE="true", BROKER_OPTIONS='{"history": 50}')
    assert (settings.end_stream_on_failure, settings.broker_options) == (True, {"history": 50})


def test_a_managers_keys_may_come_from_the_environment(from_environment: Callable[..., Settings]) -> None:
    assert from_environment("alerts", MANAGERS__alerts__MAX_RETRIES="7").max_retries == 7


def test_a_number_misspelt_in_the_environment_is_refused(from_environment: Callable[..., Settings]) -> None:
    with pytest.raises(
        ConfigError, match=r"^STREAMY_MAX_RETRIES has to be a whole number from 0, not 'five'$"
    ):
        from_environment(MAX_RETRIES="five")


# -- the retry policy


def test_max_retries_sets_how_often_publishing_is_tried_again() -> None:
    assert load_settings({"STREAMY_MAX_RETRIES": 7}).retry == ExponentialBackoff(retries=7)


def test_a_retry_policy_wins_over_max_retries() -> None:
    policy = FixedDelay(1.0)
    assert load_settings({"STREAMY_MAX_RETRIES": 7, "STREAMY_RETRY_POLICY": policy}).retry is policy


# -- values that stay


def test_settings_never_change() -> None:
    with pytest.raises(FrozenInstanceError):
        load_settings({}).max_retries = 5  # type: ignore[misc]


def test_settings_do_not_follow_the_options_that_they_came_from() -> None:
    options = {"history": 50}
    settings = load_settings({"STREAMY_BROKER_OPTIONS": options})
    options["history"] = 60
    assert settings.broker_options == {"history": 50}


# -- secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("broker_url", f"redis://user:{SECRET}@host/0"),
        ("broker_url", f"redis://:{SECRET}@host"),
        ("broker_url", f"redis://user:a/{SECRET}@host"),
        ("broker_url", f"redis://host?password={SECRET}"),
        ("broker_options", {"password": SECRET}),
        ("broker_options", {"auth_token": SECRET}),
        ("broker_options", {"sentinel_kwargs": {"password": SECRET}}),
        ("broker_options", {"connect_args": {"password": SECRET}}),
        ("broker_options", {"replica": f"redis://user:{SECRET}@host"}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("show", [repr, str])
def test_no_form_of_settings_shows_a_password(show: Callable[[object], str], name: str, value: Any) -> None:
    shown = show(load_settings({key_of(name): value}))
    assert SECRET not in shown
    assert f"{name}=" in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("broker_url", f"//user:{SECRET}@host"),
        ("broker_url", f"{SECRET}@host"),
        ("broker_url", f":{SECRET}@host:6379"),
        ("broker_url", f"//user:a/{SECRET}@host"),
        ("broker_url", [f"redis://:{SECRET}@host"]),
        ("broker_url", f"redis://:{SECRET}@host".encode()),
        ("broker_options", f"password={SECRET}"),
        ("broker_options", [("password", SECRET)]),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "load",
    [
        lambda name, value: load_settings({key_of(name): value}),
        lambda name, value: load_settings({MANAGERS: {"default": {name.upper(): value}}}),
        lambda name, value: load_settings({}, given={name: value}),
    ],
    ids=["common", "section", "argument"],
)
def test_no_error_shows_a_password(load: Callable[[str, Any], Settings], name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(name, value)
    assert SECRET not in str(refusal.value)
