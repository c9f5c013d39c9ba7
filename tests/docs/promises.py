"""Writes `docs/reference/promises.md`, of what the contract finds on each backend.

`python -m tests.docs.promises` runs it on all of them. It needs their servers, and stops at a broken promise.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from streamy_core.testing import FaultContract
from streamy_core.testing.capability_contract import CapabilityContract
from streamy_core.testing.contract import LogContract
from streamy_core.testing.history_contract import HistoryContract
from streamy_core.testing.key_contract import KeyContract
from streamy_core.testing.last_contract import LastContract
from streamy_core.testing.life_contract import LifeContract
from streamy_core.testing.many_contract import ManyContract
from streamy_core.testing.page_contract import PageContract
from streamy_core.testing.sharing_contract import SharingContract
from streamy_core.testing.surviving_contract import SurvivingContract
from streamy_core.testing.watch_contract import WatchContract
from streamy_core.testing.within_contract import WithinContract

from ..support import ROOT

PAGE: Final = ROOT / "docs" / "reference" / "promises.md"

PARTS: Final[Mapping[type, str]] = {
    LogContract: "Appending and reading",
    PageContract: "Pages, their bounds, and many streams at once",
    HistoryContract: "Earlier cursors, if it can find them",
    LifeContract: "What is trimmed, ends and closing",
    KeyContract: "Idempotency keys",
    WatchContract: "Bells",
    WithinContract: "Within transactions of the app's, if it can",
    LastContract: "Appending the last entries, if it can",
    ManyContract: "Appending to many streams at once, if it can",
    CapabilityContract: "Listing, forgetting, making tables, keeping meta, telling the time",
    SharingContract: "Between processes",
    SurvivingContract: "Forks, and processes that are killed",
    FaultContract: "When the backend goes away",
}

INTRODUCTION: Final = """\
# Which backend keeps which promise

Each row is a promise of the [contract](../how-to/write-a-broker.md#the-contract). "Kept" says that
its test passes there, in all its cases, with real servers. "Not asked" says that it makes no sense
there; a note tells why. "Redis" is Redis and Valkey, alone, with Sentinel and as clusters; "NATS"
is the plug-in in `docs/examples/nats`. `streamy conformance URL` asks any backend that you have.

This page is written by the tests: `python -m tests.docs.promises`.
"""


@dataclass(frozen=True)
class Backend:
    """A column. `without_faults` says why nothing asks what holds when it goes away."""

    name: str
    tests: Sequence[str]
    folder: Path = ROOT
    without_faults: str = ""


BACKENDS: Final = (
    Backend(
        "memory",
        ("tests/backends/test_memory.py", "-k", "TestMemoryBroker"),
        without_faults="`memory://` is in the app's own process: it never goes away alone",
    ),
    Backend(
        "SQLite",
        ("tests/backends/sql/test_contract.py", "-k", "sqlite"),
        without_faults="SQLite is a file: there is no server that could be stopped",
    ),
    Backend("PostgreSQL", ("tests/backends/sql/test_contract.py", "-k", "postgresql")),
    Backend("MariaDB", ("tests/backends/sql/test_contract.py", "-k", "mariadb")),
    Backend("Redis", ("tests/backends/redis/test_contract.py",)),
    Backend("NATS", ("tests/test_contract.py",), folder=ROOT / "docs" / "examples" / "nats"),
)

KEPT: Final = "kept"

Column = Mapping[str, str]
"""By promise, "kept" or why it isn't asked."""


def promises(part: type) -> list[str]:
    """The names of the tests that this part of the contract has itself, in their order."""
    return [name for name in vars(part) if name.startswith("test_")]


def sentence(promise: str) -> str:
    return promise.removeprefix("test_").replace("_", " ").capitalize()


def column(backend: Backend) -> Column:
    """What the contract finds on this backend. Raises AssertionError if a promise is broken."""
    found: dict[str, str] = {}
    for promise, why_not in _outcomes(backend):
        if why_not or promise not in found:
            found[promise] = why_not or KEPT
    if backend.without_faults:
        found.update(dict.fromkeys(promises(FaultContract), backend.without_faults))
    return found


def page(columns: Mapping[str, Column]) -> str:
    """The page, for columns by their backends' names."""
    notes: list[str] = []

    def cell(found: str) -> str:
        if found == KEPT:
            return KEPT
        if found not in notes:
            notes.append(found)
        return f"not asked ({notes.index(found) + 1})"

    tables = []
    for part, heading in PARTS.items():
        rows = [
            [sentence(promise), *[cell(found[promise]) for found in columns.values()]]
            for promise in promises(part)
        ]
        head = ["promise", *columns]
        tables.append(f"## {heading}\n\n{_lines([head, ['---'] * len(head), *rows])}")
    told = "".join(f"{number}. {note}.\n" for number, note in enumerate(notes, 1))
    return "\n".join([INTRODUCTION, *tables, f"## Why some are not asked\n\n{told}"])


def cells(text: str) -> Iterator[tuple[str, Column]]:
    """The rows of a page: each promise as a sentence, and what is told of it by backend."""
    notes = dict(line.split(". ", 1) for line in text.splitlines() if line[:1].isdigit())
    head: list[str] = []
    for line in text.splitlines():
        first, *others = [cell.strip() for cell in line.strip("|").split("|")]
        if first == "promise":
            head = others
        elif line.startswith("|") and first != "---":
            why_not = [notes[cell[11:-1]].removesuffix(".") if cell != KEPT else KEPT for cell in others]
            yield first, dict(zip(head, why_not, strict=True))


def _lines(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _outcomes(backend: Backend) -> Iterator[tuple[str, str]]:
    """Each test that has run, once for each case, with the reason if it was skipped."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ("-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", f"--junitxml={report}")
        # Not the options of a run of the tests that this may be part of; and nothing is gone without.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        done = subprocess.run(
            [sys.executable, "-B", "-m", "pytest", "-q", *options, *backend.tests],
            cwd=backend.folder,
            env={**inherited, "CI": "true"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{backend.name}: {done.stdout}{done.stderr}"
        for case in ElementTree.parse(report).iter("testcase"):
            skipped = case.find("skipped")
            yield case.attrib["name"].partition("[")[0], "" if skipped is None else skipped.attrib["message"]


if __name__ == "__main__":
    PAGE.write_text(page({backend.name: column(backend) for backend in BACKENDS}), "utf-8")
