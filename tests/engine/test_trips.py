"""What a process concludes from its own entries: whether they are taken, and heard in time."""

from __future__ import annotations

import pytest

from streamy_core import BrokerUnavailable
from streamy_core.engine.health import Part, Trouble
from streamy_core.engine.trips import Trips

RINGS_WITHIN = 2.0
AWAY = BrokerUnavailable("no route to db.internal")


@pytest.fixture
def trips() -> Trips:
    return Trips(RINGS_WITHIN)


def send(trips: Trips, number: int, at: float, *, watches: int = 1) -> None:
    """Have an entry stored."""
    trips.asks(at)
    trips.sends(number, at, watches)
    trips.stored()


def fail(trips: Trips, number: int, at: float) -> None:
    """Have one refused."""
    trips.asks(at)
    trips.sends(number, at, 1)
    trips.failed(AWAY, number)


def test_nothing_is_known_at_first(trips: Trips) -> None:
    trips.asks(0.0)
    trips.sends(1, 0.0, 1)
    assert not trips.known(1.9)
    assert (trips.broker(1.9), trips.bell(1.9), trips.last) == (None, None, None)


def test_an_entry_that_comes_back_in_time_is_all_that_is_wanted(trips: Trips) -> None:
    send(trips, 1, 0.0)
    assert trips.came([1], 0.25, 1) == [0.25]
    assert (trips.broker(100.0), trips.bell(100.0), trips.last) == (None, None, 0.25)
    assert trips.known(0.25)


def test_an_entry_that_is_refused_is_told_from_its_attempt_on(trips: Trips) -> None:
    fail(trips, 1, 10.0)
    assert trips.broker(13.0) == Trouble(Part.BROKER, 3.0, f"BrokerUnavailable: {AWAY}")
    assert trips.known(13.0)


def test_attempts_in_a_row_are_one_trouble_since_the_first(trips: Trips) -> None:
    for number, at in enumerate((10.0, 12.0, 14.0)):
        fail(trips, number, at)
    found = trips.broker(15.0)
    assert found is not None
    assert found.seconds == 5.0


def test_a_broker_that_says_nothing_for_two_seconds_is_away(trips: Trips) -> None:
    trips.asks(10.0)
    assert trips.broker(11.9) is None
    found = trips.broker(12.0)
    assert found is not None
    assert (found.what, found.seconds) == (Part.BROKER, 2.0)


def test_one_that_answers_is_not_one_that_stores(trips: Trips) -> None:
    fail(trips, 1, 10.0)
    trips.asks(11.0)
    trips.answered()  # a read
    assert trips.broker(12.0) is not None
    send(trips, 2, 12.0)
    assert trips.broker(12.0) is None


def test_what_is_not_heard_within_the_brokers_own_time_is_told_since_it_was_sent(trips: Trips) -> None:
    send(trips, 1, 10.0)
    assert trips.bell(12.5) is None, "a loaded machine may be half a second late"
    found = trips.bell(12.6)
    assert found is not None
    assert (found.what, found.seconds) == (Part.BELL, pytest.approx(2.6))


def test_a_broker_whose_bells_take_longer_has_longer() -> None:
    trips = Trips(10.0)
    send(trips, 1, 0.0)
    assert trips.bell(10.4) is None
    assert trips.bell(10.6) is not None


def test_what_was_refused_is_not_waited_for(trips: Trips) -> None:
    fail(trips, 1, 0.0)
    assert trips.bell(100.0) is None


def test_what_the_look_at_all_streams_finds_without_a_bell_is_late_with_all_that_comes_with_it(
    trips: Trips,
) -> None:
    for number, at in enumerate((0.0, 2.0, 4.0, 6.0)):
        send(trips, number, at)
    assert trips.came([0, 1, 2, 3], 6.1, 1) == pytest.approx([6.1, 4.1, 2.1, 0.1])
    found = trips.bell(6.2)
    assert found is not None
    assert found.seconds == pytest.approx(6.2)


def test_what_a_new_watch_finds_no_bell_has_told_of(trips: Trips) -> None:
    send(trips, 1, 0.0, watches=3)
    trips.came([1], 1.0, 4)
    assert trips.bell(1.0) is not None


def test_the_first_watch_is_none_too_many(trips: Trips) -> None:
    send(trips, 1, 0.0, watches=0)
    trips.came([1], 0.1, 1)
    assert trips.bell(0.1) is None


def test_one_that_is_heard_in_time_ends_the_trouble(trips: Trips) -> None:
    send(trips, 1, 0.0)
    trips.came([1], 5.0, 1)
    assert trips.bell(5.0) is not None
    send(trips, 2, 6.0)
    assert trips.bell(6.0) is not None, "nothing has been heard in time yet"
    trips.came([2], 6.1, 1)
    assert trips.bell(6.1) is None


def test_entries_that_never_come_do_not_pile_up_and_are_not_forgotten(trips: Trips) -> None:
    for number in range(3_000):
        send(trips, number, float(number))
    found = trips.bell(3_000.0)
    assert found is not None
    assert found.seconds == 3_000.0
    assert len(trips._under_way) == 1_000


def test_who_is_another_or_comes_twice_changes_nothing(trips: Trips) -> None:
    send(trips, 1, 0.0)
    trips.came([1], 0.1, 1)
    assert trips.came([1, 99], 50.0, 1) == []
    assert trips.bell(50.0) is None
    assert trips.last == 0.1
