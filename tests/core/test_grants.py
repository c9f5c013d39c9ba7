"""Signed rights to read streams: who has one reads what it says, and nobody else reads anything."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask, render_template_string, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer
from werkzeug.test import TestResponse

from streamy_backends.memory import Limits, MemoryBroker
from streamy_core import GAP, NOW, ConfigError, InvalidStreamId, Last, Since, StreamManager
from streamy_core.events import CONTROL, Event
from streamy_core.grants import Grant, Granter
from streamy_core.strategies import FixedDelay
from streamy_core.testing import EventClient, FaultyBroker
from streamy_core.testing.reading import eventually

BUSY = 1.0
"""Seconds that a busy machine may take more."""

TEXT = "You may not read this, or not any more.\n"


@pytest.fixture
def app() -> Iterator[Flask]:
    """`/granted` streams what a grant says to whoever has it, `/mine` only to who is in `?user=`."""
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "of the app"
    sse = StreamManager(app)

    @app.get("/granted")
    def granted() -> Any:
        return sse.get_stream(sse.granted().streams)

    @app.get("/mine")
    def mine() -> Any:
        return sse.get_stream(sse.granted(key=request.args.get("user")).streams)

    yield app
    sse.close()


@pytest.fixture
def sse(app: Flask) -> StreamManager:
    manager: StreamManager = app.extensions["streamy"]["default"]
    return manager


def ask(app: Flask, grant: str | None, path: str = "/granted", **values: str) -> TestResponse:
    query = values if grant is None else {"grant": grant, **values}
    return app.test_client().get(path, query_string=query, buffered=False)


def answer(app: Flask, grant: str | None, path: str = "/granted", **values: str) -> tuple[int, str]:
    """The status, and the body of what is no stream."""
    response = ask(app, grant, path, **values)
    stream = response.mimetype == "text/event-stream"
    text = "" if stream else response.get_data(as_text=True)
    response.close()
    return response.status_code, text


def read(app: Flask, grant: str, sse: StreamManager, count: int = 1, **how: Any) -> list[str]:
    with EventClient(app) as client, client.open(f"/granted?grant={grant}", **how) as stream:
        sse.send_event("news", "live")
        return [GAP if event.type == GAP else event.data for event in stream.events(count)]


def resigned(app: Flask, fields: list[Any], *, salt: str = "streamy.grant.default") -> str:
    """Anything at all, signed as a grant is."""
    import hashlib

    signer = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    signed = URLSafeSerializer(app.config["SECRET_KEY"], salt=salt, signer_kwargs=signer).dumps(fields)
    return signed if isinstance(signed, str) else signed.decode()


def fields(**changed: Any) -> list[Any]:
    now = time.time_ns() // 1000
    own = {"version": 1, "streams": ["news"], "key": None, "issued": now, "lifetime": 600_000, "floor": None}
    return list({**own, **changed}.values())


def test_who_has_a_grant_reads_its_streams(app: Flask, sse: StreamManager) -> None:
    assert read(app, sse.grant("news"), sse) == ["live"]
    assert read(app, sse.grant(["news", "other"]), sse) == ["live"]


def test_a_grant_tells_the_view_all_that_it_says(app: Flask, sse: StreamManager) -> None:
    before = time.time()
    signed = sse.grant(["a:1,2", "b\"'\\", "ü ☃"], key=42, expires=60, floor=Last(5))
    with app.test_request_context(query_string={"grant": signed}):
        grant = sse.granted(key="42")
    assert grant.streams == ("a:1,2", "b\"'\\", "ü ☃")
    assert (grant.key, grant.floor) == ("42", Last(5))
    assert before <= grant.issued.timestamp() <= time.time()
    assert 59 < grant.expires.timestamp() - before < 61


def test_the_connection_has_the_grants_end_key_and_floor(app: Flask, sse: StreamManager) -> None:
    first, *_ = [sse.send_event("news", str(number)) for number in range(6)]
    began = time.monotonic()
    with EventClient(app) as client:
        grant = sse.grant("news", key="ann", expires=0.6, floor=Last(2))
        stream = client.open(f"/granted?grant={grant}", last_event_id=first)
        assert [event.data for event in stream.events(3)][1:] == ["4", "5"]
        assert stream.read_to_end() == []
        assert time.monotonic() - began < 0.6 + BUSY
        stream = client.open(f"/granted?grant={sse.grant('news', key='ann')}")
        sse.disconnect(key="ann")
        assert stream.read_to_end() == []


def test_the_view_may_give_less_than_the_grant(app: Flask, sse: StreamManager) -> None:
    @app.get("/less")
    def less() -> Any:
        return sse.get_stream(sse.granted().streams, until=0.3, floor=NOW)

    old = sse.send_event("news", "old")
    began = time.monotonic()
    with EventClient(app) as client:
        stream = client.open(f"/less?grant={sse.grant('news')}", last_event_id=old)
        assert stream.read_to_end() == []
    assert time.monotonic() - began < 0.3 + BUSY


def test_now_is_the_moment_of_the_grant(app: Flask, sse: StreamManager) -> None:
    old = sse.send_event("news", "before")
    grant = sse.grant("news", floor=NOW)
    since = sse.send_event("news", "since")
    assert read(app, grant, sse, 2, last_event_id=old) == ["since", "live"]
    older = sse.send_event("other", "x")
    assert read(app, grant, sse, 3, last_event_id=older) == [GAP, "since", "live"]
    assert read(app, grant, sse, 2, last_event_id=since)[-1] == "live"


def test_all_refusals_are_alike_but_for_what_has_expired(
    app: Flask, sse: StreamManager, caplog: pytest.LogCaptureFixture
) -> None:
    good = sse.grant("news", key="ann")
    other = StreamManager(app, name="other")
    expired = resigned(app, fields(issued=1, lifetime=1))
    refused = {
        None: 403,
        "nonsense": 403,
        good[:-2]: 403,
        "A" + good: 403,
        good.replace(".", ".A", 1): 403,
        other.grant("news"): 403,
        resigned(app, fields(), salt="streamy.grant."): 403,
        resigned(app, fields(), salt="cookie-session"): 403,
        expired: 401,
        expired + "x": 403,
        resigned(app, fields(issued=(time.time_ns() // 1000) + 10**9)): 403,
        resigned(app, fields(version=2)): 403,
        resigned(app, fields(streams=[str(number) for number in range(101)])): 403,
        resigned(app, fields(streams=[])): 403,
        resigned(app, fields(streams="news")): 403,
        resigned(app, fields(streams=["a\nb"])): 403,
        resigned(app, fields(streams=[5])): 403,
        resigned(app, fields(key=5)): 403,
        resigned(app, fields(issued="soon")): 403,
        resigned(app, fields(lifetime=10**30)): 403,
        resigned(app, fields(floor=["last", 0])): 403,
        resigned(app, fields(floor=["first", 5])): 403,
        resigned(app, fields(floor=7)): 403,
        resigned(app, fields()[:-1]): 403,
        resigned(app, [5]): 403,
        app.session_interface.get_signing_serializer(app).dumps(fields()): 403,  # type: ignore[attr-defined]
    }
    for grant, status in refused.items():
        assert answer(app, grant) == (status, TEXT), grant
    assert answer(app, good, "/mine", user="bob") == (403, TEXT)
    assert answer(app, sse.grant("news"), "/mine", user="bob") == (403, TEXT), "it is nobody's"
    assert answer(app, good, "/mine") == (403, TEXT), "nobody is signed in"
    assert answer(app, good, "/mine", user="ann") == (200, "")
    causes = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(set(causes)) == len(causes) == 6
    other.close()


def test_a_refusal_is_no_stream_and_is_not_kept(app: Flask) -> None:
    @app.errorhandler(403)
    def to_the_login(error: Exception) -> Any:
        return "log in", 302, {"Location": "/login"}

    response = ask(app, "nonsense")
    assert response.status_code == 403, "a redirect would lead the page's EventSource to a login page"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.mimetype == "text/plain"
    response = ask(app, resigned(app, fields(issued=1)))
    assert response.headers["WWW-Authenticate"]


def test_a_rotated_key_still_reads(app: Flask, sse: StreamManager) -> None:
    old = sse.grant("news")
    app.config.update(SECRET_KEY="of today", SECRET_KEY_FALLBACKS=["of the app"])
    assert answer(app, old) == (200, "")
    new = sse.grant("news")
    app.config["SECRET_KEY_FALLBACKS"] = []
    assert answer(app, new) == (200, "")
    assert answer(app, old) == (403, TEXT)


def test_a_grant_is_void_once_its_key_was_disconnected(app: Flask, sse: StreamManager) -> None:
    ann, bob, anyone = sse.grant("news", key="ann"), sse.grant("news", key="bob"), sse.grant("news")
    sse.disconnect(key="ann")
    eventually(lambda: answer(app, ann) == (403, TEXT), "the grant is revoked")
    assert answer(app, bob) == answer(app, anyone) == (200, "")
    assert answer(app, sse.grant("news", key="ann")) == (200, ""), "a new one is as good as any"


def test_a_grant_is_void_once_its_stream_was_disconnected(app: Flask, sse: StreamManager) -> None:
    news, both, other = sse.grant("news"), sse.grant(["other", "news"], key="ann"), sse.grant("other")
    sse.disconnect(stream_id="news")
    eventually(lambda: answer(app, news) == answer(app, both) == (403, TEXT), "the grants are revoked")
    assert answer(app, other) == (200, "")


def test_where_both_are_named_only_grants_to_both_are_void(app: Flask, sse: StreamManager) -> None:
    both, key, stream = sse.grant("news", key="ann"), sse.grant("x", key="ann"), sse.grant("news", key="bob")
    sse.disconnect(stream_id="news", key="ann")
    eventually(lambda: answer(app, both) == (403, TEXT), "the grant is revoked")
    assert answer(app, key) == answer(app, stream) == (200, "")


def granting(app: Flask, broker: Any, **settings: Any) -> tuple[Flask, StreamManager]:
    """Another process of the app, as far as grants go."""
    later = Flask("later")
    later.config["SECRET_KEY"] = app.config["SECRET_KEY"]
    again = StreamManager(later, broker=broker, **settings)
    later.add_url_rule("/granted", view_func=lambda: again.get_stream(again.granted().streams))
    return later, again


def test_where_commands_are_no_longer_kept_older_grants_are_void(app: Flask) -> None:
    broker = MemoryBroker(Limits(history=5))
    sse = granting(app, broker)[1]
    old, bob = sse.grant("news", key="ann"), sse.grant("news", key="bob")
    sse.disconnect(key="ann")
    for number in range(20):
        sse.disconnect(key=f"other {number}")
    later, again = granting(app, broker)
    assert answer(later, old) == answer(later, bob) == (403, TEXT)
    assert answer(later, again.grant("news", key="ann")) == (200, "")
    for manager in (sse, again):
        manager.close()


def test_who_has_missed_commands_takes_no_grant_of_before(app: Flask) -> None:
    broker = FaultyBroker(MemoryBroker(Limits(history=5)))
    first, sse = granting(app, broker, watchdog_interval=0.3)
    old = sse.grant("news", key="ann")
    assert answer(first, old) == (200, "")
    broker.lose_next_bell(100)
    for number in range(60):
        sse.disconnect(key=f"other {number}")
    eventually(lambda: answer(first, old) == (403, TEXT), "it is found out")
    sse.close()


def test_a_grant_of_a_clock_that_is_ahead_is_none(app: Flask, sse: StreamManager) -> None:
    ahead = (time.time_ns() + 30 * 10**9) // 1000
    assert answer(app, resigned(app, fields(issued=ahead))) == (403, TEXT)


def test_a_command_of_a_clock_that_is_ahead_voids_no_new_grant(app: Flask, sse: StreamManager) -> None:
    event = Event(json.dumps({"stream_id": None, "key": "ann", "at": time.time() + 3_600}), "disconnect")
    old = sse.grant("news", key="ann")
    sse.broker.append(CONTROL, [event])
    eventually(lambda: answer(app, old) == (403, TEXT), "the old one is void")
    assert answer(app, sse.grant("news", key="ann")) == (200, "")


@pytest.mark.parametrize("older", ["a-key", b"a-key", [5]])
def test_earlier_keys_are_a_list(app: Flask, sse: StreamManager, older: Any) -> None:
    app.config["SECRET_KEY_FALLBACKS"] = older
    with pytest.raises(ConfigError, match="SECRET_KEY_FALLBACKS"):
        sse.grant("news")


def test_an_empty_earlier_key_signs_nothing(app: Flask, sse: StreamManager) -> None:
    app.config["SECRET_KEY_FALLBACKS"] = ["", b""]
    nobody = Flask("nobody")
    nobody.config["SECRET_KEY"] = ""
    assert answer(app, resigned(nobody, fields())) == (403, TEXT)


def test_a_preflight_is_answered_before_anything_is_asked(app: Flask, sse: StreamManager) -> None:
    def view() -> Any:
        streams = sse.granted(allow_origins="https://b.example").streams
        return sse.get_stream(streams, allow_origins="https://b.example")

    app.add_url_rule("/shared", view_func=view, methods=["GET", "OPTIONS"])
    asked = {"Origin": "https://b.example", "Access-Control-Request-Method": "GET"}
    response = app.test_client().options("/shared", headers=asked)
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Origin"] == "https://b.example"
    response = app.test_client().get("/shared", headers={"Origin": "https://b.example"})
    assert response.status_code == 403
    assert response.headers["Access-Control-Allow-Origin"] == "https://b.example", "the page is told"


@pytest.mark.parametrize("variable", ["key", "floor", "expires", "grant"])
def test_a_view_with_a_variable_of_our_names_is_refused(
    app: Flask, sse: StreamManager, variable: str
) -> None:
    app.add_url_rule(f"/at/<{variable}>", "at", lambda **values: "")
    with app.test_request_context(), pytest.raises(ValueError, match=f"'{variable}'"):
        sse.grant_url("at", "news")


def test_a_cookie_that_browsers_would_drop_is_refused(app: Flask, sse: StreamManager) -> None:
    long = [f"{secrets.token_hex(100)}" for _ in range(100)]
    with app.app_context(), pytest.raises(ValueError, match="more than browsers keep"):
        sse.set_grant_cookie(app.response_class(), long)


def test_a_cookie_lives_as_long_as_its_grant_at_least(app: Flask, sse: StreamManager) -> None:
    response = app.response_class()
    with app.app_context():
        sse.set_grant_cookie(response, "news", expires=0.9)
    assert "Max-Age=1;" in response.headers["Set-Cookie"]


def test_a_process_that_starts_later_knows_what_was_revoked(app: Flask, sse: StreamManager) -> None:
    ann = sse.grant("news", key="ann")
    sse.disconnect(key="ann")
    later, again = granting(app, sse.broker)
    assert answer(later, ann) == (403, TEXT)
    assert answer(later, again.grant("news", key="ann")) == (200, "")
    again.close()


def test_while_nobody_can_tell_what_was_revoked_a_browser_is_told_to_come_back(app: Flask) -> None:
    broker = FaultyBroker(MemoryBroker())
    later, again = granting(app, broker, retry=FixedDelay(0.01, retries=3))
    grant = again.grant("news", key="ann")
    broker.go_away()
    for _ in range(3):
        response = later.test_client().get("/granted", query_string={"grant": grant})
        assert (response.status_code, response.get_data()[:7]) == (200, b"retry: ")
    broker.come_back()

    def is_served() -> bool:
        with later.test_client().get("/granted", query_string={"grant": grant}, buffered=False) as response:
            return b"streamy.open" in next(iter(response.iter_encoded()))

    eventually(is_served, "the grant is good")
    again.close()


def test_a_cookie_carries_a_grant(app: Flask, sse: StreamManager) -> None:
    @app.get("/page")
    def page() -> Any:
        response = app.make_response("page")
        sse.set_grant_cookie(response, "news", expires=60)
        return response

    client = app.test_client()
    cookie = client.get("/page").headers["Set-Cookie"]
    assert cookie.startswith("__Host-streamy=")
    for attribute in ("Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=60"):
        assert f"; {attribute}" in cookie
    assert "Domain" not in cookie
    value = cookie.partition("=")[2].partition(";")[0]
    bare = app.test_client(use_cookies=False)
    response = bare.get("/granted", headers={"Cookie": f"__Host-streamy={value}"}, buffered=False)
    assert response.mimetype == "text/event-stream"
    response.close()


def test_a_cookie_for_other_sites_may_be_partitioned(app: Flask, sse: StreamManager) -> None:
    response = app.response_class()
    with app.app_context():
        sse.set_grant_cookie(response, "news", same_site="None", partitioned=True)
        assert "; SameSite=None" in response.headers["Set-Cookie"]
        assert response.headers["Set-Cookie"].endswith("; Partitioned")
        for wrong in ({"same_site": "none"}, {"partitioned": True}):
            with pytest.raises(ValueError, match="same_site"):
                sse.set_grant_cookie(response, "news", **wrong)  # type: ignore[arg-type]


def test_pages_get_urls_with_grants(app: Flask, sse: StreamManager) -> None:
    with app.test_request_context():
        url = sse.grant_url("granted", ["news"], key=5, lang="de", _anchor="x")
        page = render_template_string("{{ streamy_grant_url('granted', ['news'], expires=60, lang='de') }}")
    assert url.startswith("/granted?")
    assert "lang=de" in url
    assert url.endswith("#x")
    for made in (url.partition("#")[0], page.replace("&amp;", "&")):
        response = app.test_client().get(made, buffered=False)
        assert response.mimetype == "text/event-stream"
        response.close()


def test_a_grant_of_a_few_streams_is_short(sse: StreamManager) -> None:
    assert len(sse.grant("news", key=42)) < 150
    assert len(sse.grant([f"room:{number}" for number in range(100)])) < 700


@pytest.mark.parametrize("expires", [0, -1, float("nan"), float("inf"), 10**9, "600", True, None])
def test_a_lifetime_that_can_not_be_is_refused(sse: StreamManager, expires: Any) -> None:
    with pytest.raises(ValueError, match="expires"):
        sse.grant("news", expires=expires)


def test_what_is_wrong_is_said_when_it_is_granted(app: Flask, sse: StreamManager) -> None:
    with pytest.raises(InvalidStreamId):
        sse.grant([str(number) for number in range(101)])
    app.config["SECRET_KEY"] = None
    for secret in (None, "", 12345):
        app.config["SECRET_KEY"] = secret
        with pytest.raises(ConfigError, match="SECRET_KEY"):
            sse.grant("news")
    with StreamManager() as alone, pytest.raises(ConfigError, match="init_app"):
        alone.grant("news")


def test_nothing_that_is_said_or_shown_has_a_grant_in_it(
    app: Flask, sse: StreamManager, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    grants = [sse.grant("news", key="ann"), resigned(app, fields(issued=1)), "nonsense-of-somebody"]
    shown = ""
    for signed in grants:
        response = ask(app, signed)
        shown += str(response.headers)
        if response.mimetype != "text/event-stream":
            shown += response.get_data(as_text=True)
        response.close()
        with app.test_request_context(query_string={"grant": signed}):
            try:
                shown += repr(sse.granted())
            except Exception as error:  # noqa: BLE001 - whatever it is
                shown += f"{error!r} {error.__context__!r} {error.__cause__!r}"
    sse.disconnect(key="ann")
    shown += caplog.text + str(sse.health)
    for signed in grants:
        assert signed not in shown
        assert signed.rpartition(".")[2] not in shown


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    streams=st.lists(NAMES, min_size=1, max_size=100, unique=True),
    key=st.none() | st.text(max_size=50),
    floor=st.none()
    | st.integers(1, 2**60).map(Last)
    | st.floats(0.001, 1e9).map(Since)
    | st.from_regex(r"\A[A-Za-z0-9]{1,5}\.[A-Za-z0-9]\.abc\Z"),
    expires=st.floats(0.001, 2_000_000),
)
def test_any_names_and_keys_come_back_as_they_were(
    app: Flask, streams: list[str], key: str | None, floor: Any, expires: float
) -> None:
    granter = Granter(app.config, "default")
    grant = Grant.give(streams, key, expires + 1, floor)
    signed = granter.sign(grant)
    assert signed == granter.sign(grant), "the same right is the same text"
    found = granter.read(signed, key)
    assert (found.streams, found.key, found.floor) == (tuple(streams), key, floor)
    assert abs(found.expires.timestamp() - grant.expires.timestamp()) < 0.002


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_grant_that_was_changed_anywhere_is_refused(app: Flask, sse: StreamManager, data: Any) -> None:
    signed = sse.grant("news", key="ann")
    place = data.draw(st.integers(0, len(signed) - 1))
    letter = data.draw(st.sampled_from("ABab01-_.=/+ é\x00"))
    changed = signed[:place] + letter + signed[place + data.draw(st.integers(0, 1)) :]
    if changed != signed:
        assert answer(app, changed) == (403, TEXT)


def test_the_moments_of_a_grant_have_a_time_zone() -> None:
    grant = Grant.give(["news"], None, 60, None)
    assert grant.expires.tzinfo is UTC
    assert grant.expires > datetime.now(UTC)
    assert json.loads(json.dumps(grant.fields())) == grant.fields()
