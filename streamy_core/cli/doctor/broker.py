"""The broker: its driver, whether it is reached, what may be done there, its bells, and its clock.

What backends find out by themselves when they are opened, they say by their own errors and log lines.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from ...broker import Broker, TellsTime
from ...errors import BrokerUnavailable, StreamyError
from ...events import DOCTOR, Event
from ...plugins import open_broker
from .findings import Finding, Level, cure_in

_TRIES: Final = 3
_SLOW: Final = 0.25
"""Seconds for one append: more keeps whoever publishes waiting."""
_LATE: Final = 0.5
"""Seconds after which a bell is late."""
_RESTING: Final = 3.0
"""Seconds within which a watch of a silent stream comes to rest."""
_SKEW: Final = 2.0
_GREAT_SKEW: Final = 30.0

Now = Callable[[], float]


def of_broker(given: str | Broker, options: Mapping[str, Any] | None = None) -> Iterator[Finding]:
    """What is wrong with a broker, by its URL and options, or with one that is there.

    Publishes one event to a stream of the doctor's own, which no list shows, and reads it.
    """
    with ExitStack() as to_close, _warnings() as warnings:
        try:
            publisher = reader = given if isinstance(given, Broker) else _opened(given, options, to_close)
            if isinstance(given, str) and publisher.shared:
                reader = _opened(given, options, to_close)  # in one broker, a bell needn't reach the backend
            found = [*trial(publisher, reader), *clock_of(publisher)]
        except BrokerUnavailable as error:
            found = [_away(given, error)]
        except StreamyError as error:
            found = [Finding("error", "the broker can't be used", str(error), cure_in(str(error)))]
        if not found:  # else they are about the same
            found = [_warned(text) for text in dict.fromkeys(warnings)]
    yield from found


def trial(publisher: Broker, reader: Broker) -> Iterator[Finding]:
    """What goes wrong when one publishes an event, and the other hears of it and reads it.

    What goes well once is well: a machine that is busy is slow now and then. Raises BrokerUnavailable, and
    what the broker has against its set-up.
    """
    found: list[Finding] = []
    for _ in range(_TRIES):
        found = list(_try_once(publisher, reader))
        if not found:
            break
    yield from found


def _try_once(publisher: Broker, reader: Broker) -> Iterator[Finding]:
    cursor = reader.tail([DOCTOR])[DOCTOR]
    with closing(reader.watch()) as watch:
        watch.add(DOCTOR)
        at_rest = time.monotonic() + _RESTING
        while watch.wait(reader.quiet_for) and time.monotonic() < at_rest:
            pass  # the first look would find it without any bell
        began = time.monotonic()
        (entry_id,) = publisher.append(DOCTOR, [Event("doctor")])
        appended = time.monotonic()
        named, end = False, appended + reader.rings_within
        while not named and (left := end - time.monotonic()) > 0:
            named = DOCTOR in watch.wait(left)
        heard_after = time.monotonic() - appended
    page = reader.read({DOCTOR: cursor}, 100)[DOCTOR]
    if not page.gap and entry_id not in [entry.id for entry in page.entries]:
        yield Finding(
            "error",
            "what is published isn't there when it is read",
            "two connections to the same URL lead to different servers, or to a replica that is behind",
            "have the URL name the primary, and no address that is balanced over several servers",
        )
    if appended - began > _SLOW:
        yield Finding(
            "warning",
            f"publishing one event took {appended - began:.2f} s",
            "whoever publishes waits so long, and its request with it",
            "put the backend nearer to the app, or publish by send_soon, which has nobody wait",
        )
    if heard_after > _LATE or not named:
        yield _late(heard_after, named)


def _warned(text: str) -> Finding:
    return Finding("warning", f"the broker warns: {text.partition(': ')[0]}", text, cure_in(text))


def _late(seconds: float, named: bool) -> Finding:
    return Finding(
        "warning" if named else "error",
        f"a bell was heard only after {seconds:.1f} s" if named else "the broker's bell isn't heard",
        "events arrive late: bells don't get through, as behind a pooler of transactions or a proxy that "
        "doesn't pass on what the server says by itself",
        "PostgreSQL behind a pooler of transactions: ?notify=false in all processes; else have the URL name "
        "the server itself",
    )


def clock_of(broker: Broker, now: Now = time.time) -> Iterator[Finding]:
    """How far this machine's clock is from the backend's, if that is too far. now: seconds since 1970."""
    if not isinstance(broker, TellsTime):
        return
    before = now()
    there = broker.time()
    ahead = (before + now()) / 2 - there
    if abs(ahead) < _SKEW:
        return
    level: Level = "error" if abs(ahead) > _GREAT_SKEW else "warning"
    way = "ahead of" if ahead > 0 else "behind"
    yield Finding(
        level,
        f"this machine's clock is {abs(ahead):.0f} s {way} the backend's",
        "grants end too early or too late, revocations reach too far or not far enough, and Since(…) is off "
        "by as much",
        "timedatectl set-ntp true",
    )


def _opened(url: str, options: Mapping[str, Any] | None, to_close: ExitStack) -> Broker:
    return to_close.enter_context(open_broker(url, options))


def _away(given: str | Broker, error: BrokerUnavailable) -> Finding:
    cure = "see that the backend runs, and that this machine may reach it"
    if isinstance(given, str):
        try:
            parts = urlsplit(given)
            if parts.hostname and "," not in parts.netloc:
                cure += f": nc -vz {parts.hostname} {parts.port or 'PORT'}"
        except ValueError:
            pass
    return Finding("error", "the broker can't be reached", str(error), cure)


@contextmanager
def _warnings() -> Generator[list[str]]:
    """What is logged meanwhile as a warning, or worse."""
    told: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger, handler = logging.getLogger("streamy"), Listening(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield told
    finally:
        logger.removeHandler(handler)
