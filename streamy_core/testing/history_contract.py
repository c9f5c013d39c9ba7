"""Earlier cursors: the contract's part on `ReadsBack`, and on where a history begins."""

from __future__ import annotations

import pytest

from ..broker import Broker, ReadsBack
from ..ids import OLDEST
from .basis import STRANGE_CURSORS, MakeBroker, closed_in_the_end
from .reading import data_of, events, eventually, read, read_all

_EVER, _MOMENT = 3_600.0, 1.0
"""Seconds."""


def _reading_back(broker: Broker) -> ReadsBack:
    if not isinstance(broker, ReadsBack):
        pytest.skip(f"{type(broker).__name__} has no `back` and no `since`: all that is kept is read instead")
    return broker


class HistoryContract:
    """What a broker keeps that says it can find earlier cursors (`ReadsBack`)."""

    @pytest.mark.parametrize("entries", [1, 2, 4])
    def test_reading_after_the_cursor_so_many_entries_back_gives_so_many(
        self, broker: Broker, entries: int
    ) -> None:
        back = _reading_back(broker).back
        broker.append("news", events(*"abcde"))
        earlier = back({"news": None}, entries)["news"]
        assert data_of(read_all(broker, "news", earlier)) == list("abcde")[-entries:], (
            "`back` from the newest entry gives the cursor that so many entries lie after"
        )

    def test_so_many_entries_back_is_counted_from_any_cursor(self, broker: Broker) -> None:
        back = _reading_back(broker).back
        ids = broker.append("news", events(*"abcde"))
        assert back({"news": ids[3]}, 2) == {"news": ids[1]}, "`back` counts from the cursor that is given"
        assert back({"news": ids[0]}, 1) == {"news": OLDEST}, "before the first entry there is only OLDEST"
        assert back({"news": OLDEST}, 1) == {"news": OLDEST}

    @pytest.mark.parametrize("entries", [5, 6, 10_000, 2**64])
    def test_where_no_more_entries_are_left_the_cursor_is_the_oldest(
        self, broker: Broker, entries: int
    ) -> None:
        back = _reading_back(broker).back
        broker.append("news", events(*"abcde"))
        assert back({"news": None}, entries) == {"news": OLDEST}, (
            "OLDEST is never a gap, whatever is trimmed before it is read after"
        )

    def test_earlier_cursors_of_many_streams_are_found_at_once(self, broker: Broker) -> None:
        back = _reading_back(broker)
        ids = {name: broker.append(name, events(*"abc")) for name in ("one", "two")}
        assert back.back({"one": None, "two": ids["two"][1], "nobody's": None}, 1) == {
            "one": ids["one"][1],
            "two": ids["two"][0],
            "nobody's": OLDEST,
        }
        names = ["one", "two", "nobody's"]
        assert back.since(names, _EVER) == dict.fromkeys(names, OLDEST)

    @pytest.mark.parametrize("cursor", STRANGE_CURSORS, ids=lambda cursor: ascii(cursor[:12]))
    def test_before_a_cursor_that_cannot_be_placed_there_is_none(self, broker: Broker, cursor: str) -> None:
        back = _reading_back(broker).back
        broker.append("news", events(*"abcde"))
        earlier = back({"news": cursor}, 1)["news"]
        assert read(broker, "news", earlier).gap, "before what can't be placed there is nothing that can"

    @pytest.mark.parametrize("number", ["zz", "zzzzzzzzzz", "3", "03", "-1", ""])
    def test_before_an_entry_that_is_not_there_there_is_none(self, broker: Broker, number: str) -> None:
        back = _reading_back(broker).back
        (first, *_) = broker.append("news", events(*"abcde"))
        epoch = first.partition(".")[0]
        earlier = back({"news": f"{epoch}.{number}.xyz"}, 1)["news"]
        assert read(broker, "news", earlier).gap, "before what can't be placed there is nothing that can"

    def test_an_end_is_no_entry(self, broker: Broker) -> None:
        back = _reading_back(broker).back
        ids = broker.append("news", events(*"abc"))
        broker.end("news")
        end = read(broker, "news").cursor
        assert back({"news": None}, 1) == {"news": ids[1]}, "the newest entry is the last before the end"
        assert back({"news": end}, 1) == {"news": ids[1]}, "the end isn't counted"

    def test_earlier_cursors_are_right_in_a_log_that_has_been_trimmed(self, make_broker: MakeBroker) -> None:
        with closed_in_the_end(make_broker("short", history=10)) as broker:
            back = _reading_back(broker).back
            for n in range(100):
                broker.append("news", events(str(n)))
            kept = read_all(broker, "news")
            assert back({"news": None}, 3) == {"news": kept[-4].id}
            assert back({"news": None}, len(kept)) == {"news": OLDEST}

    def test_what_is_older_than_so_many_seconds_lies_before_the_cursor(self, broker: Broker) -> None:
        since = _reading_back(broker).since
        (first,) = broker.append("news", events("a"))
        eventually(lambda: since(["news"], _MOMENT) == {"news": first}, "an entry that is old")
        broker.append("news", events("b", "c"))
        assert since(["news"], _EVER) == {"news": OLDEST}
        assert since(["news"], _MOMENT) == {"news": first}, (
            "the cursor is that of the newest entry that is older than so many seconds"
        )
