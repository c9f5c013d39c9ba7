"""`streamy conformance`."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

import click

from ..errors import BrokerUnavailable
from ..plugins import open_broker
from ..urls import redact
from .shell import say

if TYPE_CHECKING:
    import pytest

_ALONE: Final = ("-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:xdist", "-c", "/dev/null")
"""That pytest writes nothing by itself, and heeds no settings of the folder that the command runs in."""


@click.command()
@click.argument("url")
@click.option("-k", "words", default="", metavar="WORDS", help="Only promises that pytest's -k would choose.")
def conformance(url: str, words: str) -> None:
    """Ask the backend at URL to keep every promise of the contract.

    What is published stays there, under names made by chance: take a database for tests.
    """
    try:
        import pytest

        from ..testing import conformance as suite
    except ImportError as error:
        raise click.ClickException(
            f"{error}; the contract needs: pip install 'streamy-sse[testing]'"
        ) from error
    _try_out(url)
    suite.TestConformance.url = url
    report = _Report()
    say(f"{redact(url)}\n")
    pytest.main([suite.__file__, *_ALONE, "-k", words], plugins=[report])
    say("\n" + ", ".join(f"{report.counts[word]} {word}" for word in ("kept", "BROKEN", "not asked")))
    if report.counts["BROKEN"] or not report.counts["kept"]:
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
