"""What is kept: by count, by age, and for how long keys are remembered."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from streamy_backends.sql.broker import SqlBroker
from streamy_core import OLDEST, StreamEnded
from streamy_core.broker import Broker, HasTables
from streamy_core.events import Page
from streamy_core.ids import sequence_of
from streamy_core.testing.reading import events, eventually, read

from ..conftest import NewBroker
from .keeping import NEVER_BY_ITSELF, Tables, Time, keeper, kept
from .publish import run_script


@pytest.mark.parametrize("history", [1, 2, 7, 8, 40])
def test_at_least_the_history_is_kept_and_at_most_a_quarter_more(
    url: str, new_broker: NewBroker, history: int
) -> None:
    broker = new_broker(url, history=history)
    for n in range(1, 2 * history + 20):
        broker.append("news", events(str(n)))
        found = kept(broker)
        assert min(n, history) <= len(found) <= history + max(1, history // 4)
        assert found == [str(place) for place in range(n - len(found) + 1, n + 1)]


def test_a_batch_that_is_longer_than_the_history_leaves_its_newest(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(url, history=10)
    broker.append("news", events("before"))
    broker.append("news", events(*map(str, range(100))))
    assert kept(broker) == [str(n) for n in range(90, 100)]


@pytest.mark.parametrize("size", [1, 5, 16])
def test_the_gap_begins_exactly_where_something_is_missing(
    url: str, new_broker: NewBroker, size: int
) -> None:
    broker = new_broker(url, history=16)
    ids = [
        one for n in range(20) for one in broker.append("news", events(*[f"{n} {m}" for m in range(size)]))
    ]
    missing = len(ids) - len(kept(broker))
    gaps = [read(broker, "news", cursor).gap for cursor in ids]
    assert gaps == [place < missing - 1 for place in range(len(ids))]


def test_a_trimmed_stream_goes_on_counting(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(url, history=1)
    ids = [broker.append("news", events(str(n)))[0] for n in range(30)]
    assert [sequence_of(one) for one in ids] == list(range(1, 31))


def test_trimming_one_stream_leaves_the_others_alone(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(url, history=4)
    for name in ("new", "news ", "News", "newsx"):
        broker.append(name, events("a", "b", "c"))
    for n in range(20):
        broker.append("news", events(str(n)))
    assert [kept(broker, name) for name in ("new", "news ", "News", "newsx")] == [["a", "b", "c"]] * 4


def test_a_history_made_smaller_is_trimmed_in_small_batches(
    url: str, new_broker: NewBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_broker(url, history=10_000).append("news", events(*map(str, range(3_000))))
    broker = new_broker(url, history=10)
    assert isinstance(broker, HasTables)
    broker.create_tables()
    removed = note_removals(broker, monkeypatch)
    for n in range(3_000, 3_005):
        broker.append("news", events(str(n)))
    assert 10 <= len(kept(broker)) <= 13
    assert max(removed) == 500, "no batch is large"
    assert sum(removed) == 3_005 - len(kept(broker)), "and all but one row more than is kept has gone"


def note_removals(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each DELETE from the log removes from now on."""
    assert isinstance(broker, SqlBroker)
    removed: list[int] = []
    lend = broker._database.autocommit

    @contextmanager
    def noting(doing: str) -> Iterator[Any]:
        with lend(doing) as db:
            yield db
            if doing == "remove old entries":
                removed.append(db.rowcount)

    monkeypatch.setattr(broker._database, "autocommit", noting)
    return removed


@pytest.mark.slow
def test_a_process_that_only_publishes_trims_too(url: str, new_broker: NewBroker, prefix: str) -> None:
    broker = new_broker(url)
    run_script(f"{url}?table_prefix={prefix}&history=20", "news", 100)
    assert 20 <= len(kept(broker)) <= 25
    assert kept(broker)[-1] == "script 99"


def test_what_is_too_old_goes_and_what_is_not_stays(tables: Tables, time: Time) -> None:
    tables.append("news", "old", "also old", at=time.now)
    time.pass_(50)
    tables.append("news", "young", at=time.now)
    time.pass_(60)
    assert keeper(tables, time, history_age=100.0).tidy()
    assert kept(tables.broker) == ["young"]


def test_nothing_goes_before_its_age(tables: Tables, time: Time) -> None:
    tables.append("news", "a", "b", "c", at=time.now)
    time.pass_(99.9)
    assert keeper(tables, time, history_age=100.0).tidy()
    assert kept(tables.broker) == ["a", "b", "c"]


def test_a_stream_of_which_all_is_too_old_keeps_nothing_and_every_readers_place(
    tables: Tables, time: Time
) -> None:
    first, second, last = tables.append("news", "a", "b", "c", at=time.now)
    time.pass_(101)
    keeper(tables, time, history_age=100.0).tidy()
    assert kept(tables.broker) == []
    gaps = [read(tables.broker, "news", cursor).gap for cursor in (first, second, last)]
    assert gaps == [True, True, False]


def test_a_single_entry_that_is_too_old_goes_too(tables: Tables, time: Time) -> None:
    (only,) = tables.append("news", "only", at=time.now)
    time.pass_(101)
    keeper(tables, time, history_age=100.0).tidy()
    assert kept(tables.broker) == []
    assert not read(tables.broker, "news", only).gap


def test_ids_never_come_again_after_everything_has_gone(tables: Tables, time: Time) -> None:
    ids = tables.append("news", "a", "b", at=time.now)
    for _ in range(3):
        time.pass_(101)
        keeper(tables, time, history_age=100.0).tidy()
        ids += tables.append("news", "a", "b", at=time.now)
    assert len(set(ids)) == len(ids)
    assert [sequence_of(one) for one in ids] == list(range(1, 9))


def test_an_end_outlives_its_streams_entries(tables: Tables, time: Time) -> None:
    *_, last = tables.append("news", "a", "b", at=time.now)
    tables.broker.end("news")
    time.pass_(101)
    keeper(tables, time, history_age=100.0).tidy()
    page = read(tables.broker, "news", last)
    assert (page.entries, page.ended, page.gap) == ((), True, False)
    with pytest.raises(StreamEnded):
        tables.broker.append("news", events("c"))


def test_a_thousand_streams_are_tidied_up(tables: Tables, time: Time) -> None:
    for n in range(1_100):
        tables.broker.append(f"news-{n}", events("a", "b", "c"))
    tables.date("entries", time.now)
    time.pass_(101)
    keeper(tables, time, history_age=100.0).tidy()
    assert tables.count("entries") == 1_100, "one row of each stream, as its readers' place"


def test_tidying_up_trims_by_count_too(tables: Tables, time: Time) -> None:
    tables.append("news", *map(str, range(100)), at=time.now)
    keeper(tables, time, history=10).tidy()
    assert kept(tables.broker) == [str(n) for n in range(90, 100)]


def test_the_row_that_counts_is_never_touched(tables: Tables, time: Time) -> None:
    tables.append("news", *map(str, range(100)), at=time.now)
    tables.append("ended", "a", "b", at=time.now)
    tables.broker.end("ended")
    before = tables.streams()
    keeper(tables, time, history=10).tidy()
    time.pass_(10_000)
    keeper(tables, time, history=10, history_age=1.0).tidy()
    assert kept(tables.broker) == []
    assert tables.streams() == before


def test_old_entries_go_by_themselves(url: str, new_broker: NewBroker) -> None:
    broker = new_broker(url, history_age=0.3, tidy_every=0.05)
    broker.append("news", events("a", "b"))
    eventually(lambda: kept(broker) == [], "the entries gone")


def test_old_entries_go_by_themselves_where_somebody_only_watches(url: str, new_broker: NewBroker) -> None:
    new_broker(url, **NEVER_BY_ITSELF).append("news", events("a", "b"))
    broker = new_broker(url, history_age=0.05, tidy_every=0.05)
    broker.watch()
    eventually(lambda: kept(broker) == [], "the entries gone")


def test_a_reader_that_pages_through_a_log_that_is_being_trimmed_sees_no_hole_without_a_gap(
    url: str, new_broker: NewBroker
) -> None:
    broker, publisher = new_broker(url), new_broker(url, history=20)

    def publish() -> None:
        for n in range(0, 600, 3):
            publisher.append("news", events(*map(str, range(n, n + 3))))

    runs: list[list[int]] = [[]]
    cursor = OLDEST
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish)
        finished, page = False, Page((), cursor)
        while page.entries or page.gap or not finished:
            finished = publishing.done()
            page = read(broker, "news", cursor, limit=2)
            cursor = page.cursor
            if page.gap:
                runs.append([])
            runs[-1] += [int(entry.event.data) for entry in page.entries]
        publishing.result()
    for run in filter(None, runs):
        assert run == list(range(run[0], run[-1] + 1)), "a hole, and no gap that tells of it"
    seen = [number for run in runs for number in run]
    assert seen == sorted(set(seen))
    assert seen[-1] == 599


def test_who_reads_from_the_oldest_while_it_is_trimmed_is_never_told_of_a_gap(
    url: str, new_broker: NewBroker
) -> None:
    broker, publisher = new_broker(url), new_broker(url, history=1)
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(lambda: [publisher.append("news", events(str(n))) for n in range(300)])
        while not publishing.done():
            assert not read(broker, "news", OLDEST, limit=3).gap
        publishing.result()
