"""Events and stream ids: what is refused, what is allowed, and that they never change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamy_core.errors import InvalidEvent, InvalidStreamId, StreamyError
from streamy_core.events import Entry, Event, Page, are_plain, check_retry, check_stream_id

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NUL = "\0"
BYTES = [b"x", bytearray(b"x"), memoryview(b"x")]
HUGE = 10**5000  # more digits than Python is willing to print

# -- data


@pytest.mark.parametrize(
    "data",
    ["", " ", "a\n", "a\r\nb", "\ufeffx", "a\u2028data: b", "日本語 🎈", "\x01\x0b\x0c\x7f\x85", "x" * 2**20],
    ids=lambda data: ascii(data[:12]),
)
def test_data_may_be_any_other_text(data: str) -> None:
    assert Event(data).data == data


@pytest.mark.parametrize("data", [*BYTES, None, 1, ["x"]], ids=lambda data: type(data).__name__)
def test_data_that_is_not_text_is_refused(data: Any) -> None:
    with pytest.raises(InvalidEvent, match=f"data is a str, not {type(data).__name__}"):
        Event(data)


@pytest.mark.parametrize("data", BYTES, ids=lambda data: type(data).__name__)
def test_refusing_bytes_says_what_to_do_instead(data: Any) -> None:
    with pytest.raises(InvalidEvent, match="decode it first, or send base64"):
        Event(data)


@pytest.mark.parametrize(("data", "place"), [("\ud800", 0), ("ab\udfff", 2), ("ä\ud83d", 1)], ids=ascii)
def test_a_lone_surrogate_in_data_is_refused_and_its_place_told(data: str, place: int) -> None:
    with pytest.raises(InvalidEvent, match=rf"lone surrogate \(found at position {place}\)"):
        Event(data)


@pytest.mark.parametrize(("data", "place"), [(NUL, 0), ("ab" + NUL, 2)], ids=ascii)
def test_a_nul_in_data_is_refused_and_its_place_told(data: str, place: int) -> None:
    with pytest.raises(InvalidEvent, match=rf"data can't hold NUL \(found at position {place}\)"):
        Event(data)


@unhurried
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_size_is_the_bytes_of_data_in_utf8(data: str) -> None:
    data = data.replace(NUL, "")
    assert Event(data, "name does not count").size == len(data.encode("utf-8"))


# -- name


@pytest.mark.parametrize("name", ["x", " x ", "user:42", "ä🎈", "a\u2028b", "a\tb", "x" * 255, "🎈" * 255])
def test_a_name_may_be_any_other_line_of_1_to_255_characters(name: str) -> None:
    assert Event("", name).name == name


def test_an_event_needs_no_name() -> None:
    assert Event("x").name is None


@pytest.mark.parametrize(
    "name",
    [
        "message\nevent: admin\ndata: X",
        "x\revent: admin\rdata: pwn",
        "a\r\nb",
        "\n",
        "a\r",
        "",
        "x" * 256,
        "🎈" * 256,
        "a" + NUL,
        "\ud800",
        b"x",
        1,
        True,
    ],
    ids=lambda name: ascii(name)[:20],
)
def test_a_name_that_would_not_stay_one_line_of_text_is_refused(name: Any) -> None:
    with pytest.raises(InvalidEvent, match="an event's name"):
        Event("", name)


# -- retry


@pytest.mark.parametrize("retry", [0, 1, 2**31 - 1])
def test_retry_is_a_whole_number_of_milliseconds(retry: int) -> None:
    assert Event("", retry=retry).retry == check_retry(retry) == retry


@pytest.mark.parametrize(
    "retry",
    [
        -1,
        2**31,
        True,
        False,
        1.0,
        "1",
        "1\ndata: x",
        float("inf"),
        float("nan"),
        pytest.param(HUGE, id="huge"),
    ],
)
def test_any_other_retry_is_refused(retry: Any) -> None:
    with pytest.raises(InvalidEvent, match="retry is a whole number of milliseconds from 0 to 2147483647"):
        Event("", retry=retry)


# -- values


@pytest.mark.parametrize(
    ("value", "field"),
    [(Event("x"), "data"), (Entry("1", "s", Event("x")), "id"), (Page((), "1"), "cursor")],
    ids=lambda value: type(value).__name__,
)
def test_a_value_never_changes(value: Any, field: str) -> None:
    with pytest.raises(AttributeError):
        setattr(value, field, "other")


def test_values_are_equal_and_hashable_by_what_they_hold() -> None:
    assert Event("x", "n", 1) == Event("x", "n", 1) != Event("x", "n", 2)
    assert len({Event("x", "n", 1), Event("x", "n", 1), Event("x", "n")}) == 2


@pytest.mark.parametrize("error", [InvalidEvent, InvalidStreamId])
def test_refusals_are_value_errors_of_streamys_own_tree(error: type[Exception]) -> None:
    assert issubclass(error, ValueError)
    assert issubclass(error, StreamyError)


# -- stream ids


@pytest.mark.parametrize(
    "stream_id",
    [
        "x",
        "a b",
        " ",
        "a:b",
        "user:42",
        "*",
        "a/../b",
        "'; --",
        "日本語",
        "🎈" * 255,
        "x" * 255,
        "\u2028",
        "\ufeff",
    ],
    ids=lambda name: ascii(name[:12]),
)
def test_a_stream_id_is_any_other_text_of_1_to_255_characters(stream_id: str) -> None:
    assert check_stream_id(stream_id) == stream_id


@pytest.mark.parametrize(
    ("stream_id", "length"), [("", 0), ("x" * 256, 256), ("🎈" * 256, 256)], ids=["0", "256", "🎈"]
)
def test_a_stream_id_of_another_length_is_refused_and_its_length_told(stream_id: str, length: int) -> None:
    with pytest.raises(InvalidStreamId, match=f"1 to 255 characters, not {length}"):
        check_stream_id(stream_id)


@unhurried
@given(st.characters(categories=["Cc", "Cs"]))
def test_a_control_character_or_lone_surrogate_in_a_stream_id_is_refused_and_its_place_told(
    char: str,
) -> None:
    with pytest.raises(InvalidStreamId, match=r"has a (control character|lone surrogate) at position 2$"):
        check_stream_id(f"ab{char}c")


@unhurried
@given(st.text(max_size=3) | st.text("a\n\x7f", max_size=3) | st.sampled_from(["x" * 255, "x" * 256]))
def test_names_pass_together_only_if_each_passes_by_itself(name: str) -> None:
    try:
        check_stream_id(name)
    except InvalidStreamId:
        assert not are_plain(["news", name])
    else:
        assert are_plain(["news", name]) == name.isascii()


def test_names_pass_together_only_if_they_are_plain_text() -> None:
    assert are_plain(["news", "user:42"])
    assert not are_plain([])
    for other in (None, 42, b"news", type("Text", (str,), {})("news")):
        assert not are_plain(["news", other])


@pytest.mark.parametrize("stream_id", [None, 42, b"news", ["news"]], ids=repr)
def test_a_stream_id_that_is_not_text_is_refused(stream_id: Any) -> None:
    with pytest.raises(InvalidStreamId, match=f"a stream id is a str, not {type(stream_id).__name__}"):
        check_stream_id(stream_id)
