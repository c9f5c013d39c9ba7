"""What is published is bounded in what it costs its readers and the backend, whatever it consists of."""

from __future__ import annotations

import pytest

from streamy_core import InvalidEvent, StreamManager
from streamy_core.events import Event
from streamy_core.wire import data_size, encode_body

LIMIT = 1_000


@pytest.mark.parametrize("line_break", ["\n", "\r", "\r\n"])
def test_line_breaks_count_as_what_they_are_on_the_wire(line_break: str) -> None:
    with StreamManager(max_event_bytes=LIMIT) as sse:
        most = LIMIT // 7
        sse.send_event("news", line_break * most)
        with pytest.raises(InvalidEvent, match="STREAMY_MAX_EVENT_BYTES"):
            sse.send_event("news", line_break * (LIMIT // 6))


@pytest.mark.parametrize("data", ["", "a", "é\n🎈", "\r\n\r\n", "\n\r\r\n", "a\nb\rc\r\nd"])
def test_the_size_of_data_is_that_of_its_lines(data: str) -> None:
    event = Event(data)
    assert data_size(event) == len(encode_body(event)) - len(b"data: ") - len(b"\n\n")


@pytest.mark.parametrize("key", ["k" * 256, "k" * 50_000_000])
def test_an_idempotency_key_is_bounded(key: str) -> None:
    with StreamManager() as sse:
        with pytest.raises(InvalidEvent, match="at most 255 characters"):
            sse.send_event("news", "a", idempotency_key=key)
        with pytest.raises(InvalidEvent, match="at most 255 characters"):
            sse.send_events("news", ["a"], idempotency_key=key)
        assert sse.send_event("news", "a", idempotency_key=key[:255])


def test_an_idempotency_key_is_text() -> None:
    with StreamManager() as sse, pytest.raises(InvalidEvent, match="is a str, not int"):
        sse.send_event("news", "a", idempotency_key=7)  # type: ignore[arg-type]
