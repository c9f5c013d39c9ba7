"""Whatever a watch does wrong, or a broker between processes or in an outage: a test is meant for it."""

from __future__ import annotations

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core.broker import BaseWatch
from streamy_core.testing import BrokerContract, FaultContract, reading, sharing_contract, watch_contract
from streamy_core.testing.sharing_contract import SharingContract
from streamy_core.testing.watch_contract import WatchContract

from . import broken_watches, shared
from .broken_watches import with_watch
from .shared import Backend, SharedMemory
from .trying import alone, check, failures

pytestmark = pytest.mark.slow

NEVER_NAMED = "the watch never named"
NEWS_NEVER_NAMED = "the watch never named ['news'], which have grown"
STORM = "no_bell_is_forgotten_in_a_storm_of_adds_discards_and_appends"
FORK = "test_a_forked_process_and_its_parent_both_go_on"

WATCHES = {
    broken_watches.ForgetsWhatRangBeforeWait: {
        "a_bell_that_rang_before_wait_is_not_forgotten": NEVER_NAMED,
        "a_thousand_streams_are_watched_at_once": NEVER_NAMED,
        "adding_again_forgets_no_bell": NEWS_NEVER_NAMED,
        "adding_twice_and_discarding_once_stops_watching": NEWS_NEVER_NAMED,
        "an_append_after_add_makes_a_wait_name_the_stream": NEWS_NEVER_NAMED,
        "every_watch_hears_every_bell": NEWS_NEVER_NAMED,
        "the_end_rings_too": NEWS_NEVER_NAMED,
    },
    broken_watches.RemembersOneBellOnly: {
        "a_bell_that_rang_before_wait_is_not_forgotten": "never named ['a', 'b']",
        "a_thousand_streams_are_watched_at_once": NEVER_NAMED,
    },
    broken_watches.ForgetsWhatRangBeforeAnAdd: {
        "a_bell_that_rang_before_wait_is_not_forgotten": "never named ['a', 'b']",
        "adding_again_forgets_no_bell": NEWS_NEVER_NAMED,
        STORM: "the watch never named 'stream-",
    },
    broken_watches.ForgetsWhatRangBeforeItIsAddedAgain: {"adding_again_forgets_no_bell": NEWS_NEVER_NAMED},
    broken_watches.ForgetsWhatRingsWhileItCollects: {STORM: "the watch never named 'stream-"},
    broken_watches.IsDeafOnceDiscarded: {
        "adding_twice_and_discarding_once_stops_watching": NEWS_NEVER_NAMED,
        STORM: "round 0: the watch never named 'stream-",
    },
    broken_watches.DiscardsOnlyWhatIsWatched: {
        "adding_twice_and_discarding_once_stops_watching": "KeyError: 'news'",
        STORM: "KeyError: 'stream-",
    },
    broken_watches.WakesNobody: {
        "a_bell_wakes_a_wait_under_way": "a bell wakes the wait under way: not within"
    },
    broken_watches.WatchesFiveHundredStreams: {
        "a_thousand_streams_are_watched_at_once": "never named ['s500', 's600'"
    },
    broken_watches.ForgetsAnEarlyInterrupt: {
        "an_interrupt_before_wait_is_not_forgotten": "the interrupt before `wait` was forgotten"
    },
    broken_watches.IsNotInterruptedWhileItWaits: {
        "interrupt_makes_a_wait_under_way_return": "`interrupt` makes the wait under way return: not within"
    },
    broken_watches.WaitsOnWhenClosed: {
        "closing_makes_a_wait_under_way_return": "closing the watch makes the wait under way return: not",
        "closing_the_broker_makes_a_wait_under_way_return": "closing the broker makes the wait",
    },
    broken_watches.WaitsThoughClosed: {
        "a_closed_watch_waits_no_more": "DID NOT RAISE Closed",
        "closing_the_broker_closes_its_watches": "DID NOT RAISE Closed",
    },
    broken_watches.RingsForEver: {"wait_returns_after_its_timeout": "a silent stream never stops ringing"},
    broken_watches.KnowsNoTimeout: {
        "wait_returns_after_its_timeout": "returns after its timeout: not within"
    },
    broken_watches.NeverBlocks: {"wait_blocks_while_there_is_nothing_to_tell": "`wait` doesn't block"},
    broken_watches.BringsFromTheOldestOn: {"what_bells_bring_along_is_what_the_log_holds": "'before'"},
    broken_watches.BringsOnlyTheNewest: {"what_bells_bring_along_is_what_the_log_holds": "cursor"},
    broken_watches.BringsNothing: {"what_bells_bring_along_is_what_the_log_holds": "no bell ever brought"},
    broken_watches.BringsAgainAndAgain: {"what_bells_bring_along_is_what_the_log_holds": "is given no more"},
}

BELLS = {
    broken_watches.RingsOneWatchOnly: {"every_watch_hears_every_bell": NEWS_NEVER_NAMED},
    broken_watches.EndsWithoutABell: {"the_end_rings_too": NEWS_NEVER_NAMED},
    broken_watches.LeavesItsWatchesOpen: {
        "closing_the_broker_closes_its_watches": "DID NOT RAISE Closed",
        "closing_the_broker_makes_a_wait_under_way_return": "closing the broker makes the wait",
    },
    broken_watches.ClosesItsWatchesQuietly: {
        "closing_the_broker_makes_a_wait_under_way_return": "closing the broker makes the wait"
    },
}

SHARING = {
    shared.RingsInItsOwnProcessOnly: {
        "a_bell_rings_in_every_process": NEWS_NEVER_NAMED,
        "a_bell_is_heard_from_add_on_whoever_rings_it": NEVER_NAMED,
        "an_end_holds_in_every_process": NEWS_NEVER_NAMED,
    },
    shared.ConfirmsItsFirstSubscriptionOnly: {
        "a_bell_is_heard_from_add_on_whoever_rings_it": "the watch never named ['s1', 's10'"
    },
    shared.KnowsItsOwnKeysOnly: {"a_key_holds_in_every_process": "answered by every other with the same ids"},
    shared.KnowsItsOwnEndsOnly: {"an_end_holds_in_every_process": "DID NOT RAISE StreamEnded"},
    shared.ReadsItsOwnEntriesFirst: {
        "what_one_process_appends_another_reads": "the processes read different logs",
        "processes_that_publish_at_once_make_one_log": "the processes read different logs",
    },
    shared.KeepsTailsToItself: {"a_cursor_of_one_process_holds_in_another": "that nothing has caused"},
    shared.LosesWhatOthersPublishMeanwhile: {
        "processes_that_publish_at_once_make_one_log": "lost entries, or their order"
    },
    shared.TakesItsLogAlong: {"what_was_appended_outlives_the_broker": "takes nothing away from others"},
}

ONLY_UNAVAILABLE = "raises BrokerUnavailable and nothing else, not ConnectionError"

FAULTS = {
    shared.RaisesWhatItsDriverRaises: {
        "while_the_backend_is_away_each_call_says_so": ONLY_UNAVAILABLE,
        "the_broker_works_again_when_the_backend_is_back": ONLY_UNAVAILABLE,
        "a_repeated_append_is_stored_once_however_the_first_try_ended": ONLY_UNAVAILABLE,
    },
    shared.ReadsOnWithoutABackend: {
        "while_the_backend_is_away_each_call_says_so": "read returned although the backend is away"
    },
    shared.StaysAway: {
        "the_broker_works_again_when_the_backend_is_back": "publishing again: not within",
        "what_was_appended_is_there_after_an_outage_or_readers_are_told": "reading again: not within",
        "a_repeated_append_is_stored_once_however_the_first_try_ended": "publishing again: not within",
        "after_an_outage_a_watch_names_every_stream_or_raises": "publishing again: not within",
    },
    shared.StoresLaterWhatItRefused: {
        "a_repeated_append_is_stored_once_however_the_first_try_ended": "was not stored once"
    },
    shared.LosesTheNewestEntry: {
        "what_was_appended_is_there_after_an_outage_or_readers_are_told": "its reader wasn't told by a gap"
    },
    shared.ForgetsBellsInAnOutage: {
        "after_an_outage_a_watch_names_every_stream_or_raises": "heard of what came after the outage"
    },
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never happens is not waited for as long."""
    for module in (reading, sharing_contract, watch_contract):
        monkeypatch.setattr(module, "DEADLINE", 0.4)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", WATCHES, ids=lambda kind: kind.__name__)
def test_a_broken_watch_is_caught(kind: type[BaseWatch]) -> None:
    check(WatchContract, alone(with_watch(kind)), WATCHES[kind])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", BELLS, ids=lambda kind: kind.__name__)
def test_a_broker_with_broken_bells_is_caught(kind: type[MemoryBroker]) -> None:
    check(WatchContract, alone(kind), BELLS[kind])


def test_a_sound_watch_that_brings_entries_passes() -> None:
    assert failures(WatchContract, alone(with_watch(broken_watches.BringsEntriesAlong))) == {}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", SHARING, ids=lambda kind: kind.__name__)
def test_a_broker_that_is_broken_between_processes_is_caught(kind: type[SharedMemory]) -> None:
    check(SharingContract, lambda: Backend(kind), SHARING[kind])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_a_broker_that_breaks_in_an_outage_is_caught(kind: type[SharedMemory]) -> None:
    check(FaultContract, lambda: Backend(kind), FAULTS[kind])


def test_a_sound_broker_that_is_shared_passes() -> None:
    # Its log is in memory, of which a forked process has a copy of its own.
    assert failures(BrokerContract, lambda: Backend(SharedMemory), but=[FORK]) == {}


def test_a_sound_broker_passes_outages() -> None:
    assert failures(FaultContract, lambda: Backend(SharedMemory)) == {}
