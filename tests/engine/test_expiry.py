"""Events that are only for now, as a log keeps them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamy_core import Event, InvalidEvent, StreamManager
from streamy_core.engine.expiry import as_published, as_stored

NOW = 1_800_000_000.25


@pytest.mark.parametrize("name", [None, "typing", "a.b", ".", "until.5", "n" * 231, "ü" * 231])
def test_what_is_stored_is_read_as_it_was_published(name: str | None) -> None:
    stored = as_stored(Event("a", name, 5, expires=1.5), NOW)
    assert len(stored.name or "") <= 255
    assert as_published(stored) == (Event("a", name, 5), NOW + 1.5)


@given(st.floats(0, 1e300), st.floats(0, 4e9))
def test_it_is_over_no_earlier_than_it_was_said_as_far_as_the_clock_goes(expires: float, now: float) -> None:
    until = as_published(as_stored(Event("a", expires=expires), now))[1]
    assert until is not None
    assert until >= min(now + expires, 13_537_086_546.263551) - 0.000_001


def test_others_are_stored_as_they_are() -> None:
    event = Event("a", "b", 5)
    assert as_stored(event, NOW) is event
    assert as_published(event) == (event, None)


@pytest.mark.parametrize(
    "name",
    [
        f"streamy.until.{rest}"
        for rest in ("", ".", "A.", "!", "A!.b", "A.streamy.end", "A" * 10, "A.streamy.x")
    ],
)
def test_what_nobody_has_stored_so_is_not_read_so(name: str) -> None:
    assert as_published(Event("a", name))[1] is None


@pytest.mark.parametrize("given", [-1, float("nan"), float("inf"), "5", True, 10**400, [], b"5", 1j])
def test_what_is_no_time_is_refused(given: Any) -> None:
    with pytest.raises(InvalidEvent, match="expires is a number of seconds of 0 or more"):
        Event("a", expires=given)


@pytest.mark.parametrize("given", [5, 5.0, Decimal(5), Fraction(5)])
def test_every_kind_of_number_is_a_time(given: Any) -> None:
    assert Event("a", expires=given) == Event("a", expires=5.0)


def test_a_name_that_leaves_no_room_for_the_time_is_refused_and_nothing_stored() -> None:
    with StreamManager(broker="memory://") as sse:
        with pytest.raises(InvalidEvent, match="has at most 231 characters, not 232"):
            sse.send_event("news", "a", "n" * 232, expires=5)
        assert not sse.exists("news")
