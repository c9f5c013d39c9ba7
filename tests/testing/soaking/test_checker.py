"""The checker finds what no sound broker can have answered, and nothing else, in histories made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamy_core.errors import BrokerUnavailable, ConfigError
from streamy_core.testing.soaking import check, replay
from streamy_core.testing.soaking.contradictions import smallest
from streamy_core.testing.soaking.history import Call, History, fault_of

from .histories import BROKEN, SOUND, append, cut_off, history, read


def told(*calls: Call, kept: int | None = None) -> str:
    """What the checker says first."""
    return str(smallest(check(history(*calls, kept=kept))) or "")


@pytest.mark.parametrize("calls", SOUND.values(), ids=SOUND)
def test_what_a_sound_broker_may_answer_is_no_contradiction(calls: list[Call]) -> None:
    assert check(history(*calls, kept=3)) == []


@pytest.mark.parametrize(("calls", "words"), BROKEN.values(), ids=BROKEN)
def test_what_no_sound_broker_can_answer_is_named(calls: list[Call], words: str) -> None:
    assert words in told(*calls, kept=3)


def test_a_gap_is_no_contradiction_if_nobody_knows_what_is_kept() -> None:
    calls, _ = BROKEN["a gap for nothing"]
    assert told(*calls, kept=None) == ""


def test_a_key_may_be_forgotten_after_a_thousand_appends() -> None:
    later = [append(str(n), at=2 * n) for n in range(1, 1_002)]
    calls = [append("a", at=0, key="k", ids=["id-x"]), append("a", at=4_000, key="k", ids=["id-y"])]
    assert told(*later, *calls) == ""
    assert "the key 'k'" in told(*later[:900], *calls)


def test_the_contradiction_that_fewest_calls_show_comes_first() -> None:
    out_of_order = [append("a", at=0), append("b", at=2), read("b", "a", at=4)]
    assert "KeyError" in told(*out_of_order, append("c", at=9, fault="KeyError"))


def test_what_is_said_shows_the_calls_in_order_of_time() -> None:
    calls, _ = BROKEN["out of order, by one writer"]
    _, first, second = told(*calls).splitlines()
    assert first == "  0.000000 s to 0.001000 s  w1: append 'a' on 'news' -> id-a"
    assert second == "  0.002000 s to 0.003000 s  w1: append 'b' on 'news' -> id-b"


def test_a_passing_fault_is_one_whatever_its_class() -> None:
    class Stale(BrokerUnavailable):
        pass

    fault = fault_of(Stale("gone"))
    assert told(append("a", at=0, fault=fault), append("b", at=2), read("b", at=4)) == ""
    assert "raised OSError: gone" in told(append("a", at=0, fault=fault_of(OSError("gone"))))


def test_a_history_in_a_file_is_the_same(tmp_path: Path) -> None:
    calls = [call for each, _ in BROKEN.values() for call in each]
    made = history(*calls, cut_off("é", at=0, key="\ud800"), kept=3)
    made.save(tmp_path / "history")
    assert replay(tmp_path / "history").history == made
    assert len((tmp_path / "history").read_text().splitlines()) == len(made.calls) + 1


@pytest.mark.parametrize(
    "text", ["", "{}\n", "[1]\n", "no\n", '{"about": "", "rings_within": 2, "kept": 1}\n[]\n']
)
def test_a_file_that_is_no_history_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "history").write_text(text)
    with pytest.raises(ConfigError, match="is no history of a soak"):
        replay(tmp_path / "history")


@pytest.mark.timeout(20)
def test_a_long_history_takes_no_long_time() -> None:
    def calls(count: int) -> History:
        appends = [append(str(n), at=2 * n) for n in range(count)]
        reads = [read(str(n), at=2 * n + 1, after=str(n - 1) if n else "nothing") for n in range(count)]
        return history(*appends, *reads, kept=10)

    assert check(calls(20_000)) == []
