"""The picture that `flask streamy top` draws: what all processes do, for a terminal of 80 columns or more.

Names of streams, groups and hosts are others' texts: they are escaped, and never markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from ...overview import Process
from ..shell import one_line
from .view import View, amount, is_ready, is_silent, name_of, rate, size, span, took

_MOST: Final = 10
"""Rows of groups and streams."""

_MOST_WRONG: Final = 5
"""Processes of which is told what is wrong with them."""

_WRONG: Final = "bold red"
_SILENT: Final = "yellow"
_FAINT: Final = "dim"


class Picture:
    """See the module: a renderable of rich's.

    title:  what is looked at. trouble: why nothing new is known; empty: it is.
    height: how many lines it may have, so that it fits; None: any number.
    """

    def __init__(self, view: View, title: str, *, trouble: str = "", height: int | None = None) -> None:
        self._view = view
        self._title = title
        self._trouble = trouble
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Group(*self._parts())

    def _parts(self) -> Iterator[RenderableType]:
        top = [_line(self._title, _FAINT), *self._summary()]
        yield from top
        if not self._view.processes:
            return
        left = None if self._height is None else self._height - len(top) - 2  # an empty line, and the heads
        shown, more = _fitting(self._view.processes, left)
        yield from (Text(), _processes(shown, self._view.at))
        if more:
            yield _line(f"and {more} more", _FAINT)
        rows = _MOST if left is None else min(_MOST, left - len(shown) - bool(more) - 2)
        if rows > 0:
            groups, streams = self._view.groups[:rows], self._view.streams[:rows]
            yield from (Text(), _beside(_counts("GROUP", groups), _counts("STREAM", streams)))

    def _summary(self) -> Iterator[Text]:
        view = self._view
        if self._trouble:
            yield _line(self._trouble, _WRONG)
        if not view.processes:
            yield _line("No process has told anything yet.")
            return
        by = ", ".join(f"{amount(count)} {name}" for name, count in sorted(view.clients.items()) if count)
        processes = "1 process" if len(view.processes) == 1 else f"{amount(len(view.processes))} processes"
        clients = "1 client" if view.clients.total() == 1 else f"{amount(view.clients.total())} clients"
        runs = f", {amount(view.running)} {'run' if view.running == 1 else 'runs'}" if view.running else ""
        yield _line(f"{processes}, {clients}{f' ({by})' if by else ''}{runs}", "bold")
        rates = view.rates
        yield _line(
            f"a second: {rate(rates.published)} events published, {rate(rates.delivered)} delivered, "
            f"{size(rates.bytes)}; {rates.cpu:.2f} cores"
        )
        for name, counts in (("gaps", view.gaps), ("turned away", view.turned_away)):
            if counts.total():
                told = ", ".join(f"{amount(count)} {cause}" for cause, count in counts.most_common())
                yield _line(f"{name}: {told}")
        wrong = [process for process in view.processes if not is_ready(process)]
        for process in wrong[:_MOST_WRONG]:
            told = ", ".join(f"{each.what} for {span(each.seconds)}" for each in process.summary.wrong)
            yield _line(f"NOT READY: {name_of(process)}: {told}", _WRONG)
        if len(wrong) > _MOST_WRONG:
            yield _line(f"NOT READY: {len(wrong) - _MOST_WRONG} more", _WRONG)
        if silent := [process for process in view.processes if is_silent(process)]:
            yield _line(f"SILENT: {', '.join(map(name_of, silent))}", _SILENT)


def _fitting(processes: Sequence[Process], room: int | None) -> tuple[Sequence[Process], int]:
    """As many as there is room for, first those that aren't ready; and how many more there are."""
    ordered = sorted(processes, key=is_ready)
    if room is None or len(ordered) <= room:
        return ordered, 0
    shown = ordered[: max(1, room - 1)]
    return shown, len(ordered) - len(shown)


def _line(text: str, style: str = "") -> Text:
    return Text(one_line(text), style, no_wrap=True, overflow="crop")


def _processes(processes: Sequence[Process], now: float) -> Table:
    table = _table(
        "PROCESS", "UP", "CLIENTS", "STREAMS", "PUB/S", "SENT/S", "BELL", "LAG", "GAPS", "SLOW", "AWAY"
    )
    for process in processes:
        summary, rates = process.summary, process.rates
        table.add_row(
            _line(name_of(process)),
            span(now - summary.since),
            amount(summary.all_clients),
            amount(summary.watched),
            rate(rates.published),
            rate(rates.delivered),
            took(summary.bell_seconds),
            took(summary.loop_lag),
            amount(sum(summary.gaps.values())),
            amount(summary.slow),
            amount(sum(summary.turned_away.values())),
            style="" if is_ready(process) else _WRONG,
        )
    return table


def _counts(of: str, counts: Sequence[tuple[str, int]]) -> Table:
    table = _table(of, "CLIENTS")
    for name, count in counts:
        table.add_row(_line(name), amount(count))
    return table


def _beside(left: Table, right: Table) -> Table:
    both = Table.grid(expand=True, padding=(0, 2, 0, 0))
    both.add_column(ratio=1)
    both.add_column(ratio=1)
    both.add_row(left, right)
    return both


def _table(first: str, *others: str) -> Table:
    """The first column has what the others leave, and is cut."""
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False, header_style=_FAINT)
    table.add_column(first, no_wrap=True, overflow="crop", ratio=1)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True, overflow="crop")
    return table
