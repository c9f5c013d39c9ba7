"""Soaks a broker: real processes append, end, read and watch at once, and some are killed; then a checker
proves of the history of all their calls that a sound broker can have answered so.

What it asks: an append that returned is there once, and one whose outcome nobody knows at most once; appends
that don't overlap lie in the order of their times; the events of one append lie together; all that is read
is part of one order, or a gap says that something is missing; ids are the same for everybody; nothing comes
after the end, and everybody is told of it; a repeated key stores nothing; watches name in time what grows.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..basis import MakeBroker
from ..fault_contract import Faults
from .checker import check
from .contradictions import Contradiction, smallest
from .history import History, new_file
from .running import Run

__all__ = ["Contradiction", "SoakReport", "check", "replay", "soak"]


@dataclass(frozen=True, slots=True)
class SoakReport:
    """What a soak has found.

    contradictions: nothing, if the broker is sound as far as the soak could see.
    history_file:   where the history is kept; None if it isn't.
    """

    history: History
    contradictions: tuple[Contradiction, ...]
    history_file: Path | None

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.contradictions

    def __str__(self) -> str:
        calls = f"{len(self.history.calls)} calls"
        found = smallest(self.contradictions)
        if found is None:
            return f"{calls}, and no contradiction"
        others = len(self.contradictions) - 1
        more = "1 more contradiction" if others == 1 else f"{others or 'no'} more contradictions"
        return f"{found}\n{calls}; {more}"


def soak(
    make_broker: MakeBroker,
    *,
    seconds: float = 60.0,
    seed: int = 7,
    processes: int = 4,
    history: int | None = 200,
    history_file: Path | None = None,
    faults: Faults | None = None,
    about: str = "",
) -> SoakReport:
    """Soak the brokers that `make_broker` makes, and check what happened.

        def test_it_stands_a_soak(make_broker: MakeBroker) -> None:
            report = soak(make_broker, seconds=10)
            assert report.sound, report

    make_broker:  as for `BrokerContract`; the log is called "soak" and has to be empty.
    seconds:      for how long is appended; it takes some more until the last bells must have been heard.
    seed:         what happens when follows from it, as far as that is in anybody's hands.
    processes:    of which a quarter, one at least, read, and as many watch; the others write.
    history:      how many entries of a stream brokers are told to keep; None if they can't be told.
    history_file: where to keep the history; None: in a temporary file, and only if something is found.
    faults:       how to take the backend away, and give it back, which is then done now and then. It has to
                  keep what it has acknowledged.
    about:        what the history says of itself.

    Raises ConfigError if brokers aren't shared by processes; AssertionError if others can't make one.
    """
    with tempfile.TemporaryDirectory(prefix="streamy-soak-") as folder:
        happened = Run(make_broker, about, seconds, seed, processes, history, faults, Path(folder)).history()
    found = tuple(check(happened))
    if found and history_file is None:
        history_file = new_file()
    if history_file is not None:
        happened.save(history_file)
    return SoakReport(happened, found, history_file)


def replay(history_file: Path) -> SoakReport:
    """Check a history that is kept in a file again. Raises OSError; ConfigError if it is none."""
    history = History.load(history_file)
    return SoakReport(history, tuple(check(history)), history_file)
