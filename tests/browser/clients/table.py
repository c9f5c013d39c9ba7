"""What others' clients make of all that happens, as the docs show it: `test_clients` tries each cell."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

PACKAGES: Final = Path(__file__).parent.parent / "node" / "package.json"


class Verdict(StrEnum):
    OK = "ok"
    LOST = "**lost**"
    DEAD = "dead"
    STOPS = "stops"
    LOOPS = "loops"


class Fault(StrEnum):
    """What happens, as the page's columns have it."""

    BEFORE = "cut before the first event"
    AFTER = "cut after events"
    OUTAGE = "5 s of 502"
    CLOSE = "clean close"
    END = "after the end"
    REFUSED = "401"
    TEXT = "all text"


def plain(text: str) -> tuple[str, str]:
    return text, ""


def html(text: str) -> tuple[str, str]:
    return f"<li>{text}</li>", ""


def turbo(text: str) -> tuple[str, str]:
    action = (
        f'<turbo-stream action="append" target="list"><template><li>{text}</li></template></turbo-stream>'
    )
    return action, ""


def datastar(text: str) -> tuple[str, str]:
    return f"selector #list\nmergeMode append\nfragments <li>{text}</li>", "datastar-merge-fragments"


class Row(NamedTuple):
    """A client, and what becomes of three events.

    name:     of its page in `pages`, or of its function in `node/clients.mjs` and `python.py`.
    where:    "browser", "node" or "python".
    becomes:  a verdict for each fault.
    publish:  gives data and name of an event by which the client shows a text.
    shown:    as the docs have it, if that is another name; and which package it is of.
    cure:     what the docs call the lines that this client has been given.
    """

    name: str
    where: str
    becomes: tuple[Verdict, ...]
    publish: Callable[[str], tuple[str, str]] = plain
    shown: str = ""
    package: str = ""
    cure: str = ""

    def becomes_of(self, fault: Fault) -> Verdict:
        return self.becomes[list(Fault).index(fault)]

    def line(self) -> str:
        """Of the docs' table."""
        who = f"{self.shown or self.name} {self.version}".strip()
        cells = [f"the same, as [below](#{self.cure})" if self.cure else who, *self.becomes]
        return f"| {' | '.join(cells)} |"

    @property
    def version(self) -> str:
        """Of the package that npm installs; empty for others."""
        asked: str = _asked_of_npm().get(self.package or self.name, "")
        return asked.rpartition("@")[2]


OK, LOST, DEAD, STOPS, LOOPS = Verdict

_WHOLE: Final = (OK, OK, OK, OK, STOPS, STOPS, OK)
_ON_AND_ON: Final = (OK, OK, OK, OK, LOOPS, LOOPS, OK)
_ENDS_IF_CLOSED: Final = (OK, OK, DEAD, DEAD, STOPS, STOPS, OK)
_READS_ONE: Final = (DEAD, DEAD, DEAD, DEAD, STOPS, STOPS, OK)

ROWS: Final = (
    Row("streamy", "browser", _WHOLE, shown="streamy.js"),
    Row("eventsource", "browser", _WHOLE, shown="the browser's `EventSource`"),
    Row("turbo", "browser", _WHOLE, turbo, shown="Turbo", package="@hotwired/turbo"),
    Row("htmx-2", "browser", _ON_AND_ON, html, shown="htmx with htmx-ext-sse", package="htmx.org"),
    Row("htmx-2-cured", "browser", _WHOLE, html, cure="htmx-2"),
    Row("htmx-4", "browser", _ON_AND_ON, html, shown="htmx with hx-sse"),
    Row("htmx-4-cured", "browser", _WHOLE, html, cure="htmx-4"),
    Row(
        "datastar",
        "browser",
        _ENDS_IF_CLOSED,
        datastar,
        shown="Datastar",
        package="@starfederation/datastar",
    ),
    Row("fetch-event-source", "browser", _ENDS_IF_CLOSED, package="@microsoft/fetch-event-source"),
    Row("fetch-event-source-cured", "browser", _WHOLE, cure="fetch-event-source"),
    Row("event-source-polyfill", "browser", _WHOLE),
    Row("reconnecting-eventsource", "browser", _ON_AND_ON),
    Row("reconnecting-eventsource-cured", "browser", _WHOLE, cure="reconnecting-eventsource"),
    Row("sse.js", "browser", _ON_AND_ON, shown="sse.js, `autoReconnect`", package="sse.js"),
    Row("sse.js-cured", "browser", _WHOLE, cure="sse-js"),
    Row("eventsource-2", "node", _WHOLE, shown="eventsource"),
    Row("eventsource-4", "node", _WHOLE, shown="eventsource"),
    Row("eventsource-5", "node", _WHOLE, shown="eventsource"),
    Row("eventsource-client", "node", (OK, OK, OK, OK, STOPS, LOOPS, OK)),
    Row("eventsource-client-cured", "node", _WHOLE, cure="eventsource-client"),
    Row(
        "launchdarkly-node",
        "node",
        _WHOLE,
        shown="launchdarkly-eventsource",
        package="launchdarkly-eventsource",
    ),
    Row("httpx-sse", "python", _READS_ONE, shown="httpx-sse (Python)"),
    Row("httpx-sse-cured", "python", _WHOLE, cure="httpx-sse"),
    Row("aiosseclient", "python", (*_READS_ONE[:-1], LOST), shown="aiosseclient (Python)"),
    Row("aiosseclient-cured", "python", (*_WHOLE[:-1], LOST), cure="aiosseclient"),
    Row("sseclient-py", "python", _READS_ONE, shown="sseclient-py (Python)"),
    Row("sseclient-py-cured", "python", _WHOLE, cure="sseclient-py"),
    Row("requests", "python", (*_READS_ONE[:-1], LOST), shown="requests, `decode_unicode` (Python)"),
    Row("requests-cured", "python", _READS_ONE, cure="requests"),
    Row(
        "launchdarkly",
        "python",
        _ON_AND_ON,
        shown="launchdarkly-eventsource, `always_continue` (Python)",
    ),
    Row("launchdarkly-cured", "python", _WHOLE, cure="launchdarkly-eventsource"),
)


def lines() -> list[str]:
    """The page's table, in Markdown."""
    head = ["client", *Fault]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(row.line() for row in ROWS)]


@cache
def _asked_of_npm() -> dict[str, str]:
    found: dict[str, str] = json.loads(PACKAGES.read_text("utf-8"))["devDependencies"]
    return found


if __name__ == "__main__":
    print("\n".join(lines()))
