"""What is counted for the overview, in a process and in those that are forked from it."""

from __future__ import annotations

from collections.abc import Iterator

from streamy_core.observers.metrics import Number
from streamy_core.observers.metrics.catalogue import CLIENTS, DELIVERED_BYTES, LOOP_LAG, WATCHED
from streamy_core.overview.kept import Kept

from ..support.forks import forks, in_child, succeeds

LABELS = ("default", "wsgi")


def filled() -> Kept:
    kept = Kept()
    kept.bind(CLIENTS, LABELS)(1)
    kept.watch(source)
    return kept


def source() -> Iterator[Number]:
    yield Number(DELIVERED_BYTES, LABELS, 7)
    yield Number(WATCHED, ("default",), 3)


def test_what_is_told_and_what_is_read_are_values_alike() -> None:
    kept = filled()
    kept.bind(CLIENTS, LABELS)(1)
    assert kept.values() == {(CLIENTS, LABELS): 2, (DELIVERED_BYTES, LABELS): 7, (WATCHED, ("default",)): 3}


def test_of_a_histogram_the_largest_is_kept_until_it_was_asked_for() -> None:
    kept = Kept()
    late = kept.bind(LOOP_LAG, ("default",))
    for seconds in (0.1, 0.3, 0.2):
        late(seconds)
    assert [kept.take_largest(LOOP_LAG), kept.take_largest(LOOP_LAG)] == [0.3, None]


@forks
def test_a_forked_process_counts_nothing_of_its_parents() -> None:
    kept = filled()
    add = kept.bind(CLIENTS, LABELS)

    def look() -> None:
        add(1)
        assert kept.values() == {
            (CLIENTS, LABELS): 1,
            (DELIVERED_BYTES, LABELS): 0,
            (WATCHED, ("default",)): 3,
        }

    assert succeeds(in_child(look))
