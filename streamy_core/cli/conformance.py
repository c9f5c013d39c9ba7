"""`streamy conformance`."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..errors import BrokerUnavailable
from ..plugins import open_broker
from ..urls import redact
from .shell import one_line, say

if TYPE_CHECKING:
    import pytest

    from ..testing import SoakReport


_ALONE: Final = ("-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", "/dev/null")
"""That pytest writes nothing by itself, and heeds no settings of the folder that the command runs in."""
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("url", required=False)
@click.option("-k", "words", default="", metavar="WORDS", help="Only promises that pytest's -k would choose.")
@click.option(
    "--soak",
    "seconds",
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="Instead have processes use it all at once for so long, kill some, and look for contradictions in "
    "what they were answered.",
)
@click.option(
    "--seed", type=int, default=7, show_default=True, help="Of a soak: what is done when follows from it."
)
@click.option(
    "--processes", type=click.IntRange(3), default=4, show_default=True, help="Of a soak, so many at a time."
)
@click.option(
    "--history-file",
    type=_FILE,
    metavar="FILE",
    help="Where a soak keeps what happened. [default: a new file]",
)
@click.option("--replay", type=_FILE, metavar="FILE", help="Look at what a soak has kept again; without URL.")
def conformance(
    url: str | None,
    words: str,
    seconds: float | None,
    seed: int,
    processes: int,
    history_file: Path | None,
    replay: Path | None,
) -> None:
    """Ask the backend at URL to keep every promise of the contract.

    What is published stays there, under names made by chance: take a database for
    tests.
    """
    if (url is None) == (replay is None):
        raise click.UsageError("give either URL or --replay FILE")
    if words and (replay or seconds):
        raise click.UsageError("-k chooses promises, which a soak doesn't ask for one by one")
    try:
        from ..testing import soaking
    except ImportError as error:
        raise click.ClickException(
            f"{error}; the contract needs: pip install 'streamy-sse[testing]'"
        ) from error
    if replay is not None:
        _tell(_replayed(soaking.replay, replay))
    elif url is not None:
        _try_out(url)
        if seconds is None:
            _ask(url, words)
        else:
            _soak(url, seconds, seed, processes, history_file)


def _ask(url: str, words: str) -> None:
    import pytest

    from ..testing import conformance as suite

    suite.TestConformance.url = url
    report = _Report()
    say(f"{redact(url)}\n")
    pytest.main([suite.__file__, *_ALONE, "-k", words], plugins=[report])
    say("\n" + ", ".join(f"{report.counts[word]} {word}" for word in ("kept", "BROKEN", "not asked")))
    if report.counts["BROKEN"] or not report.counts["kept"]:
        click.get_current_context().exit(1)


def _soak(url: str, seconds: float, seed: int, processes: int, history_file: Path | None) -> None:
    from ..testing import soak
    from ..testing.conformance import Corners
    from ..testing.soaking.history import new_file

    corners = Corners(url, secrets.token_hex(8))
    about = f"{redact(url)}: {seconds:g} s, seed {seed}, {processes} processes"
    say(f"{about}\n")
    try:
        report = soak(
            corners,
            seconds=seconds,
            seed=seed,
            processes=processes,
            history=corners.history(200),
            history_file=history_file or new_file(),
            about=about,
        )
    except (AssertionError, OSError) as error:
        raise click.ClickException(str(error)) from error
    again = (
        f"All calls are in {report.history_file}: `streamy conformance --replay FILE` looks at them again."
    )
    _tell(report, again)


def _replayed(replay: Callable[[Path], SoakReport], file: Path) -> SoakReport:
    try:
        report = replay(file)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    say(f"{report.history.about}\n")
    return report


def _tell(report: SoakReport, *more: str) -> None:
    for line in (*str(report).splitlines(), *more):
        say(one_line(line))
    if not report.sound:
        click.get_current_context().exit(1)


def _try_out(url: str) -> None:
    """Tell in its own words what is wrong with the URL, or that nothing answers there."""
    with closing(open_broker(url)) as broker, suppress(NotImplementedError):
        try:
            broker.tail(["streamy.conformance"])
        except BrokerUnavailable as error:
            raise click.ClickException(
                f"{redact(url)} can't be reached, so nothing was asked: {error}"
            ) from error


class _Report:
    """A line for each promise, as it is known; what happened below one that is broken."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped:
            self._tell("not asked", report, _reason(report))
        elif report.failed:
            self._tell("BROKEN", report, _reason(report))
        elif report.when == "call":
            self._tell("kept", report)

    def _tell(self, word: str, report: pytest.TestReport, why: str = "") -> None:
        self.counts[word] += 1
        promise, bracket, case = report.nodeid.partition("::test_")[2].partition("[")
        say(f"{word:<9}  {promise.replace('_', ' ')}{bracket}{case}")
        for line in why.splitlines():
            say(f"{'':<9}    {line}")


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):  # of a test that was skipped: file, line and reason
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr)
