"""Text and numbers that only pass for such are reduced to what they are, or refused."""

from __future__ import annotations

from collections import UserString
from collections.abc import Callable
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from flask import Flask
from flask.json.provider import DefaultJSONProvider
from markupsafe import Markup
from werkzeug.local import LocalProxy

from streamy_backends.memory import MemoryBroker
from streamy_core import Event, InvalidCursor, InvalidEvent, InvalidKey, InvalidStreamId, StreamManager
from streamy_core.config import load_settings
from streamy_core.exact import behind_proxy, exact_text, exact_whole
from streamy_core.testing import RecordingBroker


class Kind(str, Enum):  # noqa: UP042 - as people write it; StrEnum formats as its value
    CREATED = "created"


class Word(StrEnum):
    CREATED = "created"


class Number(IntEnum):
    FIVE = 5


class Shouting(str):
    """Says of itself something else than it is."""

    __slots__ = ()

    def __str__(self) -> str:
        return "SHOUTED"

    def __format__(self, _: str) -> str:
        return "SHOUTED"

    __repr__ = __str__


class Translated:
    """A text that is looked up when it is shown, as Flask-Babel's are."""

    def __str__(self) -> str:
        return "created"

    def __html__(self) -> str:
        return "created"


class Lazy(Translated):
    """With all that a text has."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __iter__(self) -> Any:
        return iter(self._text)


class Index:
    """A whole number, as NumPy's are."""

    def __index__(self) -> int:
        return 7


LIKE_TEXT: list[Callable[[], Any]] = [
    lambda: Kind.CREATED,
    lambda: Word.CREATED,
    lambda: Shouting("created"),
    lambda: Markup("created"),
    lambda: LocalProxy(lambda: "created"),
    lambda: LocalProxy(lambda: Kind.CREATED),
]
NAMES = ["enum", "StrEnum", "subclass", "Markup", "proxy", "proxy of an enum"]


@pytest.fixture(params=LIKE_TEXT, ids=NAMES)
def created(request: pytest.FixtureRequest) -> Any:
    """What passes for the text "created"."""
    return request.param()


@pytest.fixture
def recorder() -> RecordingBroker:
    return RecordingBroker(MemoryBroker())


@pytest.fixture
def sse(recorder: RecordingBroker) -> Any:
    with recorder, StreamManager(broker=recorder) as sse:
        yield sse


def test_text_is_reduced_to_what_it_is(created: Any) -> None:
    text = exact_text(created)
    assert (type(text), text) == (str, "created")


@pytest.mark.parametrize("value", [b"created", 5, None, ["created"], Translated(), LocalProxy(lambda: 5)])
def test_what_is_no_text_is_none(value: Any) -> None:
    assert exact_text(value) is None


def test_a_whole_number_is_reduced_to_what_it_is() -> None:
    assert (exact_whole(Number.FIVE), type(exact_whole(Number.FIVE))) == (5, int)
    assert [exact_whole(value) for value in (True, 5.0, "5", None)] == [None] * 4


def test_what_is_behind_proxies_is_found() -> None:
    thing = object()
    assert behind_proxy(LocalProxy(lambda: LocalProxy(lambda: thing))) is thing
    assert behind_proxy(thing) is thing


def test_a_broker_sees_plain_text_only(sse: StreamManager, recorder: RecordingBroker, created: Any) -> None:
    sse.send_event(created, created, created, idempotency_key=created, retry=Number.FIVE)
    sse.send_events(created, [created, Event(created, created)])
    (first, second, third) = recorder.events("created")
    assert [(event.data, event.name, event.retry) for event in (first, second, third)] == [
        ("created", "created", 5),
        ("created", None, None),
        ("created", "created", None),
    ]
    for event in (first, second, third):
        assert {type(event.data), type(event.name), type(event.retry)} <= {str, int, type(None)}
    assert all(type(info.stream_id) is str for info in recorder.streams())


def test_all_that_names_a_stream_names_the_same(sse: StreamManager, created: Any) -> None:
    entry_id = sse.send_event("created", "x")
    assert sse.cursor(created) == sse.cursor([created, "created"]) == entry_id
    assert sse.exists(created)
    with sse.subscribe(created, after="") as entries:
        assert next(entries).id == entry_id
    sse.end_stream(created)
    assert sse.get_stream("created", after=entry_id).status_code == 200


@pytest.mark.parametrize("data", [Translated(), LocalProxy(Translated)])
def test_data_that_is_translated_late_goes_as_text(sse: StreamManager, data: Any) -> None:
    with sse.subscribe("news") as entries:
        sse.send_event("news", data)
        assert next(entries).event.data == "created"


def test_data_behind_a_proxy_goes_as_what_it_is(sse: StreamManager) -> None:
    with sse.subscribe("news") as entries:
        sse.send_event("news", LocalProxy(lambda: {"a": 1}))
        assert next(entries).event.data == '{"a": 1}'


def test_a_name_that_is_translated_late_is_refused(sse: StreamManager) -> None:
    with pytest.raises(InvalidStreamId, match="not Translated"):
        sse.send_event(Translated(), "x")  # type: ignore[arg-type]
    with pytest.raises(InvalidEvent, match="not Translated"):
        sse.send_event("news", "x", Translated())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [Translated(), Lazy("news"), UserString("news"), b"news"])
def test_a_text_that_is_none_yet_is_not_as_many_streams_as_it_has_letters(
    sse: StreamManager, name: Any
) -> None:
    for call in (sse.get_stream, sse.cursor, sse.subscribe):
        with pytest.raises(InvalidStreamId, match=f"not {type(name).__name__}"):
            call(name)


def test_headers_are_reduced_too(created: Any) -> None:
    with StreamManager() as sse:
        assert sse.get_stream("news", headers={"X-Kind": created}).headers["X-Kind"] == "created"


def test_a_number_of_another_library_is_a_number(sse: StreamManager) -> None:
    sse.get_stream("news", key=Index())  # type: ignore[arg-type]
    assert load_settings({"STREAMY_MAX_RETRIES": Index()}).max_retries == 7


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1, "30", True, 10**12])
def test_later_is_a_number_of_seconds(sse: StreamManager, seconds: Any) -> None:
    with pytest.raises(ValueError, match="seconds is a number from 0 to"):
        sse.try_later(seconds)


def test_a_default_name_reaches_the_page_as_what_it_is(created: Any) -> None:
    app = Flask(__name__)
    sse = StreamManager(app)
    app.add_url_rule("/", view_func=lambda: sse.get_stream("news", created, after=""))
    sse.send_event("news", "x")
    response = app.test_client().get("/")
    received = b""
    for piece in response.iter_encoded():
        received += piece
        if b"data: x\n" in received:
            break
    assert b"event: created\n" in received
    response.close()
    sse.close()


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("delivery", "wsgi"),
        ("broker_url", "memory://"),
        ("max_retries", "2"),
        ("end_stream_on_failure", "on"),
    ],
)
@pytest.mark.parametrize("make", [Shouting, Markup, lambda text: LocalProxy(lambda: text)])
def test_settings_are_reduced_too(setting: str, text: str, make: Callable[[str], Any]) -> None:
    key = f"STREAMY_{setting.upper()}"
    assert load_settings({key: make(text)}) == load_settings({key: text})


@pytest.mark.parametrize("spelled", [5, "5", Number.FIVE, Shouting("5"), LocalProxy(lambda: "5")])
def test_a_key_has_one_spelling(recorder: RecordingBroker, spelled: Any) -> None:
    app = Flask(__name__)
    with recorder, StreamManager(app, broker=recorder) as sse:
        app.add_url_rule("/", view_func=lambda: sse.get_stream("news", key="5"))
        response = app.test_client().get("/")
        pieces = response.iter_encoded()
        next(pieces)
        sse.disconnect(key=spelled)
        assert b"retry:" in b"".join(pieces), "told to come back, and then the end"


@pytest.mark.parametrize(
    "key", [("user", 1), b"5", True, 5.0, pytest.param(10**5000, id="huge"), object(), {"id": 5}]
)
def test_a_key_that_could_not_be_found_again_is_refused_at_once(sse: StreamManager, key: Any) -> None:
    for call in (lambda: sse.get_stream("news", key=key), lambda: sse.disconnect(key=key)):
        with pytest.raises(InvalidKey, match="a key is text or a whole number"):
            call()


@pytest.mark.parametrize("after", [5, b"x", ["x"], object()])
def test_a_cursor_that_is_no_text_is_refused(sse: StreamManager, after: Any) -> None:
    for call in (lambda: sse.get_stream("news", after=after), lambda: sse.subscribe("news", after)):
        with pytest.raises(InvalidCursor, match="after is a cursor"):
            call()


def test_without_an_app_data_goes_as_a_plain_apps_json(sse: StreamManager) -> None:
    from dataclasses import dataclass
    from datetime import UTC, datetime
    from decimal import Decimal
    from uuid import UUID

    @dataclass
    class Point:
        x: int

    data = {"at": datetime(2026, 1, 2, tzinfo=UTC), "much": Decimal("1.5"), "id": UUID(int=7), "p": Point(1)}
    with sse.subscribe("news") as entries:
        sse.send_event("news", data)
        assert next(entries).event.data == Flask(__name__).json.dumps(data)


def test_the_json_provider_is_the_one_that_the_app_has_then() -> None:
    class Provider(DefaultJSONProvider):
        def dumps(self, obj: Any, **options: Any) -> str:
            return f"<{super().dumps(obj, **options)}>"

    app = Flask(__name__)
    with StreamManager(app) as sse, app.app_context(), sse.subscribe("news") as entries:
        app.json = Provider(app)
        sse.send_event("news", [1])
        assert next(entries).event.data == "<[1]>"
