"""Whatever a broker does wrong, the test that is meant for it fails, no other, and says what is wrong."""

from __future__ import annotations

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core.testing import BrokerContract
from streamy_core.testing.watch_contract import WatchContract

from . import broken, broken_lives, broken_pages
from .trying import alone, check, failures, names_of

pytestmark = pytest.mark.slow

NOT_AN_ID = "begins with a letter or digit"
FIRST_IDS = "returns the ids of that first time"
FULL = "a page with fewer entries than its limit reaches the end of the log"
LAST_ID = "a page's cursor is the id of its last entry"
TWICE = "entries come twice"
CALLED_ENDED = "StreamEnded: stream 'news' has ended"
NEVER_ENDED = "DID NOT RAISE StreamEnded"
NO_END_YET = "a page that leaves an entry for the next doesn't tell of the end"
THE_END_TOO = "the page with the last entry tells of the end"

TOO_MUCH = "as many entries as fit into max_bytes, and no more"
JUST_FITS = "what just fits is in the page"
UTF_8 = "250 balloons are 1,000 bytes"
EQUAL_SHARE = "each stream has an equal share of max_bytes"
FIRST_ENTRY = "the first entry is in the page, whatever its size"
FIRST_OF_SHARE = "a page's first entry is returned, however small its share"
CUT_BY_LIMIT = "its limit cuts the page short"
CUT_BY_BYTES = "its bytes cut the page short"
END_AFTER_CUT = "has more to come, and doesn't tell of the end"
ALONE = "a gap comes alone: what is left is for the next page to say"
MORE = "`more` says whether a page stops before the end of the log"
MORE_ENDS = "`more` ends with the newest entry, and not before"
LEFT_OUT = "these streams were left out"

APPENDING = {
    broken.NormalisesLineBreaks: {"data_comes_back_to_the_letter": r"a\n"},
    broken.ForgetsARetryOfZero: {"an_entry_names_its_stream_and_keeps_its_event_whole": "retry=None"},
    broken.NamesEveryEvent: {"an_entry_names_its_stream_and_keeps_its_event_whole": "'message'"},
    broken.FoldsCase: {"names_are_exact": "another name is taken for 'a'"},
    broken.NormalisesUnicode: {"names_are_exact": "another name is taken for 'ä'"},
    broken.PadsNamesWithSpaces: {"names_are_exact": "another name is taken for 'a'"},
    broken.StoresHalfABatch: {"a_batch_is_stored_whole_and_in_order": "an id for each"},
    broken.StoresABatchInTheWrongOrder: {"a_batch_is_stored_whole_and_in_order": "'256' != '0'"},
    broken.MixesStreamsUp: {"streams_that_grow_at_once_are_not_mixed_up": "or has others'"},
    broken.IgnoresKeys: {
        "a_repeated_key_stores_nothing_and_returns_the_same_ids": FIRST_IDS,
        "a_key_is_answered_after_the_end_too": CALLED_ENDED,
        "any_text_is_a_key": FIRST_IDS,
        "one_key_from_many_threads_stores_once": "stored more than once",
    },
    broken.TakesAnEmptyKeyForNone: {"any_text_is_a_key": "the key '' was used before"},
    broken.StripsKeys: {"any_text_is_a_key": "the key '' is not the same with a space after it"},
    broken.HasOneKeyForAllStreams: {"a_key_holds_for_one_stream": "a key of another stream"},
    broken.LooksKeysUpTooEarly: {"one_key_from_many_threads_stores_once": "'a', 'a'"},
    broken.UsesUpAKeyForNothing: {"appending_nothing_uses_up_no_key": "has used up its key"},
    broken.ForgetsKeysAtTheEnd: {"a_key_is_answered_after_the_end_too": CALLED_ENDED},
}

READING = {
    broken.HandsOutShortPages: {"a_page_is_full_or_reaches_the_end": FULL},
    broken.IgnoresTheLimit: {
        "a_page_has_no_more_than_its_limit_and_leads_on": "no more entries than its limit",
        "a_page_is_full_or_reaches_the_end": "150 == 1",
        "a_log_read_one_by_one_is_the_same_log": LAST_ID,
        "entries_and_bytes_are_both_bounds": CUT_BY_LIMIT,
        "the_end_comes_after_the_last_entry_and_not_before": NO_END_YET,
    },
    broken.ReadsTwoAtLeast: {
        "a_log_read_one_by_one_is_the_same_log": LAST_ID,
        "a_page_is_full_or_reaches_the_end": "2 == 1",
    },
    broken.LeavesUnknownStreamsOut: {
        "a_thousand_streams_are_read_at_once": LEFT_OUT,
        "many_streams_are_read_at_once_each_after_its_own_cursor": "{'nobody': []}",
    },
    broken.ReadsFiveHundredStreams: {"a_thousand_streams_are_read_at_once": LEFT_OUT},
    broken.CannotReadNothing: {"reading_no_stream_gives_no_page": "ValueError: no streams to read"},
    broken.CreatesStreamsByReading: {"reading_creates_no_stream": "nothing was written"},
    broken.AsksForTheCursorAfterwards: {
        "concurrent_publishers_lose_nothing_and_each_keeps_its_order": "followed the log read another one"
    },
    broken.RepeatsTheEntryAtTheCursor: {
        "a_batch_is_stored_whole_and_in_order": TWICE,
        "a_log_read_one_by_one_is_the_same_log": TWICE,
        "a_page_has_no_more_than_its_limit_and_leads_on": "['b', 'c', 'd', 'e'] == ['c', 'd', 'e']",
        "a_page_holds_one_entry_however_large": "At index 0 diff",
        "a_page_holds_what_fits_whatever_the_sizes": "after entry 1",
        "a_page_stays_within_its_bytes": JUST_FITS,
        "many_streams_are_read_at_once_each_after_its_own_cursor": "'old'",
        "reading_after_the_cursor_so_many_entries_back_gives_so_many": "so many entries lie after",
        "reading_goes_on_after_any_cursor": "after entry 0",
        "reading_while_there_is_more_reads_all_that_a_trimmed_log_has_kept": MORE_ENDS,
        "tail_is_the_place_from_now_on": "['old', 'new'] == ['new']",
        "tails_of_many_streams_are_those_of_each": "['old', 'new s",
        "the_end_comes_after_the_last_entry_and_not_before": THE_END_TOO,
        "the_end_is_told_only_with_the_last_entry": THE_END_TOO,
    },
    broken.RepeatsTheNewestEntry: {
        "a_batch_is_stored_whole_and_in_order": TWICE,
        "concurrent_publishers_lose_nothing_and_each_keeps_its_order": "a reader was given entries twice",
        "reading_goes_on_after_any_cursor": TWICE,
    },
    broken.LeadsOnFromTheNewest: {
        "a_batch_is_stored_whole_and_in_order": "Right contains 436 more items",
        "a_log_read_one_by_one_is_the_same_log": "Right contains 4 more items",
        "a_page_has_no_more_than_its_limit_and_leads_on": LAST_ID,
        "the_end_comes_after_the_last_entry_and_not_before": THE_END_TOO,
    },
    broken.ComparesIdsAsText: {"reading_goes_on_after_any_cursor": "after entry 1"},
}

GAPS = {
    broken.StepsOverWhatWasTrimmed: {
        "what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest": "its reader isn't told"
    },
    broken.RaisesForAStrangeCursor: {
        "a_cursor_that_is_none_is_a_gap_and_no_error": "ValueError: not a cursor"
    },
    broken.GivesEntriesWithAGap: {
        "a_cursor_that_is_none_is_a_gap_and_no_error": "a page with a gap has no entries",
        "a_gap_on_an_ended_stream_leads_to_its_entries_and_its_end": "a gap comes alone",
        "a_page_with_a_gap_has_nothing_else": ALONE,
        "what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest": "on to the oldest entry that is kept",
    },
    broken.TakesStrangeCursorsForTheHead: {
        "a_cursor_that_is_none_is_a_gap_and_no_error": "'x' is nobody's cursor",
        "a_cursor_of_another_history_is_a_gap": "two histories",
        "a_cursor_of_another_stream_is_a_gap": "no cursor in another",
        "a_gap_on_an_ended_stream_leads_to_its_entries_and_its_end": "a gap comes alone",
        "a_page_with_a_gap_has_nothing_else": ALONE,
        "before_a_cursor_that_cannot_be_placed_there_is_none": "what can't be placed",
        "before_an_entry_that_is_not_there_there_is_none": "what can't be placed",
        "what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest": "its reader isn't told",
    },
    broken.KnowsNoGapOfAnUnknownStream: {
        "a_strange_cursor_of_an_unknown_stream_is_a_gap": "'x' is nobody's cursor"
    },
    broken.TellsOfTheEndEarly: {
        "the_end_comes_after_the_last_entry_and_not_before": NO_END_YET,
        "the_end_is_told_only_with_the_last_entry": END_AFTER_CUT,
    },
    broken.TellsOfTheEndWithAGap: {
        "a_gap_on_an_ended_stream_leads_to_its_entries_and_its_end": "before the end"
    },
}

LIVES = {
    broken_lives.HasTheSameIdsInEveryStream: {
        "ids_are_unlike_and_safe_to_send": "two entries have one id",
        "a_cursor_of_another_stream_is_a_gap": "no cursor in another",
    },
    broken_lives.HasTheSameIdsInEveryHistory: {"a_cursor_of_another_history_is_a_gap": "two histories"},
    broken_lives.HasIdsWithColons: {
        "ids_are_unlike_and_safe_to_send": NOT_AN_ID,
        "the_end_has_a_cursor_of_its_own": "the end's cursor is an id like any other",
    },
    broken_lives.ReturnsOtherIds: {"append_returns_the_ids_under_which_entries_are_read": "At index 0 diff"},
    broken_lives.HasABadTailForAnUnknownStream: {
        "the_tail_of_an_unknown_stream_stays_good_when_it_appears": "that nothing has caused",
        "a_stream_can_end_before_its_first_event": "gap=True",
        "a_thousand_tails_are_asked_for_at_once": "that nothing has caused",
        "tails_of_many_streams_are_those_of_each": "Omitting 50 identical items",
    },
    broken_lives.HasItsTailAtTheStart: {
        "tail_is_the_place_from_now_on": "['old', 'new'] == ['new']",
        "a_thousand_tails_are_asked_for_at_once": "{'s0': ['old']} != {'s0': []}",
        "tails_of_many_streams_are_those_of_each": "['old', 'new s",
    },
    broken_lives.HasItsTailAfterTheEnd: {
        "the_tail_of_an_ended_stream_lies_before_its_end": "is to be told of the end"
    },
    broken_lives.HasNoCursorInAnUnknownStream: {
        "every_page_has_a_cursor_that_can_be_kept": "also the cursor of a stream that doesn't exist"
    },
    broken_lives.ForgetsAnEnd: {
        "an_ended_stream_takes_no_more": NEVER_ENDED,
        "a_stream_can_end_before_its_first_event": NEVER_ENDED,
    },
    broken_lives.StoresInAnEndedStreamAllTheSame: {"an_ended_stream_takes_no_more": "['a', 'b'] == ['a']"},
    broken_lives.EndsWithTheLastId: {
        "the_end_has_a_cursor_of_its_own": "hasn't seen the end yet",
        "the_tail_of_an_ended_stream_lies_before_its_end": "is to be told of the end",
    },
    broken_lives.EndsAnewEachTime: {"ending_twice_does_nothing_more": "has made another end"},
    broken_lives.KnowsNotItsOwnEnd: {
        "the_end_has_a_cursor_of_its_own": "with the same cursor and the end",
        "an_ended_stream_takes_no_more": "that nothing has caused",
    },
    broken_lives.ForgetsWhatWasReadToItsEnd: {
        "an_end_is_no_entry": "the newest entry is the last before the end",
        "reading_takes_nothing_away": "the second reader found another log",
    },
    broken_lives.RefusesNothingAfterTheEnd: {"appending_nothing_does_nothing": CALLED_ENDED},
    broken_lives.KeepsTooLittle: {
        "what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest": "keeps at least 10 entries",
        "history_counts_entries_and_not_appends": "has kept 5 entries",
    },
    broken_lives.KeepsAll: {
        "what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest": "its reader isn't told",
        "a_reader_that_has_all_but_the_kept_entries_has_no_gap": "come all that are kept",
        "history_counts_entries_and_not_appends": "has kept 100 entries",
    },
    broken_lives.CountsAppends: {"history_counts_entries_and_not_appends": "has kept 50 entries"},
    broken_lives.ForgetsTheCursorBeforeTheOldest: {
        "what_was_trimmed_is_a_gap_and_reading_goes_on_at_the_oldest": "that nothing has caused",
        "a_reader_that_has_all_but_the_kept_entries_has_no_gap": "that nothing has caused",
    },
    broken_lives.WorksOnWhenClosed: {"a_closed_broker_says_so": "append returned, and did not raise Closed"},
    broken_lives.ClosesOnlyOnce: {"a_closed_broker_says_so": "has been closed already"},
    broken_lives.DiesInAFork: {
        "a_forked_process_and_its_parent_both_go_on": "the child could not use the broker"
    },
}

PAGES = {
    broken_pages.IgnoresMaxBytes: {
        "a_page_holds_one_entry_however_large": FIRST_ENTRY,
        "a_page_holds_what_fits_whatever_the_sizes": "after entry 0",
        "a_page_stays_within_its_bytes": TOO_MUCH,
        "a_share_of_no_bytes_is_one_entry": FIRST_OF_SHARE,
        "bytes_are_counted_as_utf_8": UTF_8,
        "entries_and_bytes_are_both_bounds": CUT_BY_BYTES,
        "many_streams_share_the_bytes": EQUAL_SHARE,
        "the_end_is_told_only_with_the_last_entry": END_AFTER_CUT,
    },
    broken_pages.IgnoresTheLimitWithinItsBytes: {"entries_and_bytes_are_both_bounds": CUT_BY_LIMIT},
    broken_pages.GivesEachStreamAllBytes: {
        "many_streams_share_the_bytes": EQUAL_SHARE,
        "a_share_of_no_bytes_is_one_entry": FIRST_OF_SHARE,
    },
    broken_pages.GivesAllBytesToWhoComesFirst: {
        "many_streams_share_the_bytes": EQUAL_SHARE,
        "a_share_of_no_bytes_is_one_entry": FIRST_OF_SHARE,
    },
    broken_pages.CountsCharacters: {"bytes_are_counted_as_utf_8": UTF_8},
    broken_pages.CountsNamesToo: {"a_page_holds_what_fits_whatever_the_sizes": "after entry 0"},
    broken_pages.TakesOneThatDoesNotFit: {
        "a_page_holds_what_fits_whatever_the_sizes": "after entry 0",
        "a_page_stays_within_its_bytes": TOO_MUCH,
        "bytes_are_counted_as_utf_8": UTF_8,
        "entries_and_bytes_are_both_bounds": CUT_BY_BYTES,
        "many_streams_share_the_bytes": EQUAL_SHARE,
        "the_end_is_told_only_with_the_last_entry": END_AFTER_CUT,
    },
    broken_pages.TakesNothingThatIsTooLarge: {
        "a_page_holds_one_entry_however_large": FIRST_ENTRY,
        "a_page_holds_what_fits_whatever_the_sizes": "after entry 2",
        "a_share_of_no_bytes_is_one_entry": FIRST_OF_SHARE,
    },
    broken_pages.LeavesOutWhatJustFits: {
        "a_page_holds_what_fits_whatever_the_sizes": "after entry 0",
        "a_page_stays_within_its_bytes": JUST_FITS,
        "entries_and_bytes_are_both_bounds": CUT_BY_BYTES,
        "many_streams_share_the_bytes": EQUAL_SHARE,
    },
    broken_pages.TakesNoBytesForNoBound: {
        "a_page_holds_what_fits_whatever_the_sizes": "after entry 0",
        "a_share_of_no_bytes_is_one_entry": FIRST_OF_SHARE,
    },
    broken_pages.NeverSaysThatThereIsMore: {
        "a_page_holds_what_fits_whatever_the_sizes": "a page after entry 0 is wrong about `more`",
        "a_page_is_full_or_reaches_the_end": MORE,
        "a_page_stays_within_its_bytes": "that its bytes have cut short says that there is more",
        "reading_while_there_is_more_reads_all_that_a_trimmed_log_has_kept": MORE_ENDS,
        "the_end_is_told_only_with_the_last_entry": END_AFTER_CUT,
    },
    broken_pages.SaysMoreOfAFullPage: {
        "a_page_holds_what_fits_whatever_the_sizes": "a page after entry 0 is wrong about `more`",
        "a_page_is_full_or_reaches_the_end": MORE,
        "a_page_stays_within_its_bytes": "that its bytes have cut short says that there is more",
        "only_a_page_that_stops_before_the_end_of_the_log_has_more": "these streams have no more",
        "reading_while_there_is_more_reads_all_that_a_trimmed_log_has_kept": MORE_ENDS,
        "the_end_is_told_only_with_the_last_entry": END_AFTER_CUT,
    },
    broken_pages.SaysMoreOfAnyEntries: {
        "a_page_holds_what_fits_whatever_the_sizes": "is wrong about `more`",
        "a_page_is_full_or_reaches_the_end": MORE,
        "a_page_stays_within_its_bytes": JUST_FITS,
        "only_a_page_that_stops_before_the_end_of_the_log_has_more": "['read to its last entry']",
        "reading_while_there_is_more_reads_all_that_a_trimmed_log_has_kept": "says that there are more",
    },
    broken_pages.SaysMoreWithAGap: {"a_page_with_a_gap_has_nothing_else": ALONE},
    broken_pages.LeavesOutTailsOfUnknownStreams: {
        "a_thousand_tails_are_asked_for_at_once": LEFT_OUT,
        "tails_of_many_streams_are_those_of_each": "a cursor for every stream asked for",
    },
    broken_pages.TellsFiveHundredTails: {"a_thousand_tails_are_asked_for_at_once": LEFT_OUT},
    broken_pages.TellsTheTailOfTheFirst: {
        "a_thousand_tails_are_asked_for_at_once": "that nothing has caused",
        "tails_of_many_streams_are_those_of_each": "Differing items",
    },
    broken_pages.CannotTellNoTails: {"no_streams_have_no_tails": "ValueError: no streams to tell"},
    broken_pages.CallsEveryAppendADuplicate: {
        "only_a_repeated_append_is_called_a_duplicate": "stored something, and is called a Duplicate"
    },
}

BROKEN = {**APPENDING, **READING, **GAPS, **LIVES, **PAGES}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_log_is_caught(kind: type[MemoryBroker]) -> None:
    check(BrokerContract, alone(kind), BROKEN[kind], but=names_of(WatchContract))


@pytest.mark.parametrize(
    "kind", [MemoryBroker, broken_lives.MakesIdsByChance], ids=lambda kind: kind.__name__
)
def test_a_sound_broker_passes(kind: type[MemoryBroker]) -> None:
    assert failures(BrokerContract, alone(kind)) == {}
