"""A soak of real processes finds races, and finds nothing in a sound broker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core.broker import Broker
from streamy_core.errors import ConfigError
from streamy_core.testing import FromUrl, mutants, soak
from streamy_core.testing.mutants.outages import Backend, CanBeAway
from streamy_core.testing.soaking import replay
from streamy_core.testing.soaking.history import Append, Outage, Read

from .races import (
    RACES,
    ChecksKeysApart,
    DropsOneIn500,
    LosesBells,
    Making,
    MissesWhatComesDuringAdd,
    Sound,
    StoresBatchesOneByOne,
)

SOON = (StoresBatchesOneByOne, ChecksKeysApart)
"""Those that a second is enough for."""
WORDS = {
    LosesBells: "but the watch of",
    MissesWhatComesDuringAdd: "but the watch of",
    ChecksKeysApart: "the key 'shared",
    DropsOneIn500: "but it isn't there",
}
TRIES = (1, 3, 12, 60)
"""Seconds: a race shows by chance."""
AT_ONCE = 3


@pytest.mark.parametrize("race", SOON)
def test_a_race_is_found(race: type[Sound], tmp_path: Path) -> None:
    assert WORDS.get(race, "right after") in told(race, tmp_path)


@pytest.mark.slow
def test_races_that_show_more_seldom_are_found(tmp_path: Path) -> None:
    races = [race for race in RACES if race not in SOON]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda race: told(race, tmp_path / race.__name__), races)
    for race, text in zip(races, found, strict=True):
        assert WORDS.get(race, " s, ") in text, race.__name__


def told(race: type[Sound], folder: Path) -> str:
    """What is told of the race, by a soak and again by a replay; nothing if it isn't found."""
    for seconds in TRIES:
        kept = folder / f"{seconds}.jsonl"
        kept.parent.mkdir(exist_ok=True)
        report = soak(Making(race, folder / f"{seconds}"), seconds=seconds, history_file=kept)
        if not report.sound:
            assert str(replay(kept)) == str(report)
            return str(report)
    return ""


def test_a_sound_broker_stands_a_soak(tmp_path: Path) -> None:
    report = soak(FromUrl(f"sqlite:///{tmp_path}/{{log}}.db"), seconds=2)
    assert report.sound, report
    calls = report.history.calls
    assert any(isinstance(call, Read) and call.gap for call in calls), "nobody came after a trim"
    assert any(isinstance(call, Append) and call.refused for call in calls), "nobody came after an end"
    assert len({call.who for call in calls if isinstance(call, Append)}) > 4, "no writer was replaced"
    assert report.history_file is None, "a history in which nothing was found is kept although nobody asked"


@pytest.mark.slow
def test_a_sound_broker_stands_outages(tmp_path: Path) -> None:
    report = soak(mutants.Making(CanBeAway, tmp_path), seconds=4, faults=Backend(tmp_path))
    assert report.sound, report
    assert any(isinstance(call, Outage) for call in report.history.calls)
    assert any(call.fault for call in report.history.calls), "nobody noticed the outage"


def test_brokers_that_are_not_shared_are_refused() -> None:
    with pytest.raises(ConfigError, match="the broker says shared = False"):
        soak(in_memory, seconds=1)


def in_memory(log: str = "log", *, history: int = 10_000) -> Broker:
    return MemoryBroker()
