"""`Event.meta`: checked when it is made, kept with the entry, and a value like all of an event."""

from __future__ import annotations

import pickle
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamy_core import OLDEST, Event, InvalidEvent, StreamManager
from streamy_core.events import MAX_META, Meta, decode_meta, encode_meta, meta_size

META = {"traceparent": "00-1-2-01", "ä": "🎈"}


def test_an_event_with_a_meta_is_a_value() -> None:
    event = Event("a", meta=META)
    assert event == Event("a", meta=MappingProxyType(META)) != Event("a")
    assert len({event, Event("a", meta=dict(reversed(META.items()))), Event("a", meta={"other": ""})}) == 2
    assert event.meta == META
    assert pickle.loads(pickle.dumps(event)) == event
    assert replace(event, data="b").meta == META


def test_a_meta_is_frozen_and_nobodys_elses() -> None:
    given_meta = dict(META)
    event = Event("a", meta=given_meta)
    given_meta["later"] = "x"
    assert event.meta == META
    with pytest.raises(TypeError):
        event.meta["traceparent"] = "x"  # type: ignore[index]


def test_no_meta_has_one_spelling() -> None:
    assert Event("a", meta={}) == Event("a")
    assert Event("a", meta={}).meta is None
    assert Event("a", meta=Meta({})).meta is None


class Text(str):
    def __str__(self) -> str:
        return "something else"


def test_what_is_only_like_text_is_reduced_to_it() -> None:
    meta = Event("a", meta={Text("key"): Text("value")}).meta
    assert meta is not None
    ((key, value),) = meta.items()
    assert (type(key), key, type(value), value) == (str, "key", str, "value")


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        (5, "mapping of text to text, not int"),
        ("text", "mapping of text to text, not str"),
        ([("a", "b")], "mapping of text to text, not list"),
        ({1: "a"}, "meta key is a str, not int"),
        ({"": "a"}, "no key that is empty"),
        ({"user": 1}, "meta 'user' is a str, not int"),
        ({"user": None}, "meta 'user' is a str, not NoneType"),
        ({"user": b"x"}, "meta 'user' is a str, not bytes: decode it first"),
        ({"user": "a\0"}, "meta 'user' can't hold NUL"),
        ({"a\0": "a"}, "meta key can't hold NUL"),
        ({"user": "\ud800"}, "meta 'user' can't hold a lone surrogate"),
        ({"user": "x" * MAX_META}, "at most 1,024 bytes of keys and values, not 1,028"),
        ({"ä" * 512: "x"}, "not 1,025"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_what_can_not_be_kept_is_named(meta: Any, told: str) -> None:
    with pytest.raises(InvalidEvent) as error:
        Event("a", meta=meta)
    assert told in str(error.value)


def test_a_meta_of_just_so_many_bytes_is_taken() -> None:
    meta = {"ä": "x" * (MAX_META - 2)}
    assert meta_size(meta) == MAX_META
    assert Event("a", meta=meta).meta == meta


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@given(st.dictionaries(TEXTS.filter(len), TEXTS, min_size=1, max_size=4))
def test_a_meta_is_one_line_of_text_and_back(meta: dict[str, str]) -> None:
    line = encode_meta(Meta(meta))
    assert "\n" not in line
    assert decode_meta(line) == meta


@pytest.mark.parametrize("line", ["", "x", "5", "[]", '{"a": 1}', '{"": "a"}', "[" * 100_000, '{"a": NaN}'])
def test_what_is_no_line_of_a_meta_is_refused(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says: readers are told that it is damaged
        decode_meta(line)


def test_every_verb_keeps_a_meta_and_every_reader_gets_it() -> None:
    with StreamManager() as sse:
        subscription = sse.subscribe("news", OLDEST)
        sse.send_event("news", "a", meta={"n": "1"})
        sse.send_events("news", [Event("b", meta={"n": "2"}), "c"])
        sse.send_soon("news", "d", expires=60, meta={"n": "4"})
        sse.binding.engine.outbox.flush(5)
        sse.broadcast(["news"], {"e": 5}, meta={"n": "5"})
        kept = [{"n": "1"}, {"n": "2"}, None, {"n": "4"}, {"n": "5"}]
        history = sse.history("news")
        assert [entry.event.meta for entry in history.entries] == kept
        assert [next(subscription).event.meta for _ in kept] == kept
        assert all("meta" not in entry for entry in history.as_json()["entries"])


def test_a_meta_that_can_not_be_kept_stores_nothing() -> None:
    too_much = {"key": "x" * MAX_META}
    with StreamManager() as sse:
        for verb in (sse.send_event, sse.send_soon):
            with pytest.raises(InvalidEvent):
                verb("news", "a", meta=too_much)
        with pytest.raises(InvalidEvent):
            sse.broadcast(["news"], "a", meta=too_much)
        assert not sse.exists("news")
