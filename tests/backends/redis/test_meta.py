"""An event's meta in a log: beside those that older releases have written, and read by them."""

from __future__ import annotations

import pytest

from streamy_backends.redis.entries import decode, encode
from streamy_core import Event
from streamy_core.events import DamagedEvent

EVENT = Event("data", "name", 7, meta={"line\n": "\n"})


def test_an_event_without_a_meta_is_written_as_it_always_was() -> None:
    assert encode([Event("data", "name", 7), Event("data")], "abc") == [
        "abc\n7\nname",
        "data",
        "abc\n\n",
        "data",
    ]


def test_an_older_release_takes_one_with_a_meta_for_damaged() -> None:
    meta, data = encode([EVENT], "abc")
    assert data == "data"
    with pytest.raises(ValueError, match="too many values"):
        _nonce, _retry, _name = meta.split("\n")  # as it reads


@pytest.mark.parametrize("line", ["", "{", "5", '{"a": 1}', "[" * 5_000, '{"a": "b"}\n{}'])
def test_a_meta_that_somebody_else_has_written_spoils_its_entry_only(line: str) -> None:
    texts = [f"abc\n7\nname\n{line}", "data", *encode([EVENT], "abc")]
    spoilt, sound = decode("news", "e", 0, texts)
    assert isinstance(spoilt.event, DamagedEvent)
    assert (spoilt.id, sound.id, sound.event) == ("e.1.abc", "e.2.abc", EVENT)
