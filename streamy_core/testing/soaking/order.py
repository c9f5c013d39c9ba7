"""The one order of a stream's entries that all its readers' windows are parts of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .changes import Change, Moment
from .contradictions import Contradiction, at
from .history import Append, Call, Read


@dataclass(frozen=True, slots=True)
class Order:
    """What has been read of a stream, in order; the end comes last, as if it were an entry.

    parts:  for each place the data there, which is none at the end.
    places: the places by ids; -1 for cursors before the first entry.
    breaks: places before which there may be entries that nobody has read, as they are trimmed.
    """

    ids: Sequence[str]
    moments: Sequence[Moment]
    parts: Sequence[str]
    places: Mapping[str, int]
    breaks: Sequence[int]


class Links:
    """What comes after what, as appends and reads have told; and where they contradict each other.

    entries: the data of each id.
    origins: cursors that lie before the first entry.
    """

    def __init__(self, entries: Mapping[str, str], ends: Iterable[str], origins: Iterable[str]) -> None:
        self._contradictions: list[Contradiction] = []
        self._chains: list[list[str]] | None = None
        self._nodes = {*entries, *ends}
        self._data = entries
        self._origins = set(origins)
        self._after: dict[str, tuple[str, Call]] = {}
        self._before: dict[str, tuple[str, Call]] = {}
        self._firsts: set[str] = set()
        self._read: set[str] = set()

    def add_append(self, append: Append) -> None:
        """Those of a batch come one right after the other."""
        for one, other in pairwise(append.ids):
            self._link(one, other, append)

    def add_read(self, read: Read) -> None:
        """So do those of a page, and the first after the page's cursor."""
        if not read.done or read.gap:
            return
        found = [*read.ids, *([read.next] if read.ended and read.next != read.cursor else [])]
        self._read.update(found)
        for one, other in pairwise([read.cursor, *found] if read.cursor else found):
            self._link(one, other, read)

    def contradictions(self) -> list[Contradiction]:
        """Where they contradict each other, when all have been added."""
        if not self._contradictions:
            self.chains()
        return self._contradictions

    def chains(self) -> list[list[str]]:
        """What hangs together, each in order, as far as anybody has read of it."""
        if self._chains is None:
            self._chains = self._find_chains()
        return self._chains

    def _find_chains(self) -> list[list[str]]:
        chains: list[list[str]] = []
        passed: set[str] = set()
        for node in self._nodes:
            if node not in self._before:
                chain = self._from(node, passed)
                if not self._read.isdisjoint(chain):
                    chains.append(chain)
        if left := self._nodes - passed:
            self._comes_again(min(left), self._after[min(left)][1])
        return chains

    def _from(self, node: str, passed: set[str]) -> list[str]:
        chain = [node]
        passed.add(node)
        while (following := self._after.get(chain[-1])) is not None:
            if following[0] in passed:
                self._comes_again(*following)
                break
            chain.append(following[0])
            passed.add(following[0])
        return chain

    def _comes_again(self, node: str, call: Call) -> None:
        self._contradict(f"{self._named(node)} comes again, after entries that lie after it", call)

    def begins(self, chain: Sequence[str]) -> bool:
        """Whether nothing can lie before it."""
        return chain[0] in self._firsts

    def _link(self, one: str, other: str, call: Call) -> None:
        known, by = self._after.setdefault(one, (other, call))
        if known != other:
            self._contradict(
                f"right after {self._named(one)} comes {self._named(known)}, as {by.who} was told at "
                f"{at(by.returned)}, but {self._named(other)}, as {call.who} was told at {at(call.returned)}",
                by,
                call,
            )
        elif one in self._origins:
            self._firsts.add(other)
        elif one in self._nodes:
            before, by = self._before.setdefault(other, (one, call))
            if before != one:
                self._contradict(
                    f"{self._named(other)} comes right after {self._named(before)}, as {by.who} was told at "
                    f"{at(by.returned)}, but right after {self._named(one)}, as {call.who} was told at "
                    f"{at(call.returned)}",
                    by,
                    call,
                )

    def _named(self, node: str) -> str:
        if node in self._data:
            return f"{self._data[node]!r} ({node})"
        return f"the end ({node})" if node in self._nodes else f"the cursor {node!r}"

    def _contradict(self, text: str, *calls: Call) -> None:
        self._contradictions.append(Contradiction(text, calls))


def order_of(
    links: Links, changes: Mapping[str, Change], data: Mapping[str, str], origins: Iterable[str]
) -> Order:
    """The order that the links make.

    changes: which change brought which id.
    origins: cursors that lie before the first entry.
    """
    moments = {change: Moment.of(change) for change in set(changes.values())}

    def about_when(chain: Sequence[str]) -> float:
        # If one chain must come before another, since an append to it returned before one to the other was
        # called, and the other way round isn't so, then it does by the sum of both times, too.
        told = [moments[changes[node]] for node in chain]
        return min([each.returned for each in told], default=math.inf) + max(each.called for each in told)

    chains = sorted(links.chains(), key=about_when)
    ids = [node for chain in chains for node in chain]
    breaks = [0] if not chains or not links.begins(chains[0]) else []
    count = 0
    for chain in chains:
        count += len(chain)
        breaks.append(count)
    return Order(
        ids=ids,
        moments=[moments[changes[node]] for node in ids],
        parts=[data.get(node, "") for node in ids],
        places={**dict.fromkeys(origins, -1), **{node: place for place, node in enumerate(ids)}},
        breaks=breaks,
    )
