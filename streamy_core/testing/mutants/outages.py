"""Brokers whose backend can be taken away, and that each break one promise in an outage."""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...broker import BaseWatch, BrokerUnavailable, Event, StreamInfo, Watch
from .appending import Bound, Ids, Pages
from .breaking import breaks
from .sound import SharedWatch, SoundBroker

ONLY_UNAVAILABLE = "raises BrokerUnavailable and nothing else, not ConnectionError"


class Backend:
    """Takes the logs in a folder away, and gives them back: `Faults` for the contract."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stop(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "away").touch()

    def give_back(self) -> None:
        """As `start`, if they are away."""
        if (self._folder / "away").exists():
            self.start()

    def start(self) -> None:
        (self._folder / "away").unlink()
        with (self._folder / "outages").open("a") as outages:
            outages.write("x")


class CanBeAway(SoundBroker):
    """It is sound: while its backend is away it says so, and afterwards its watches name everything."""

    @contextmanager
    def opened(self, *, to_write: bool = False) -> Generator[None]:
        if self.is_away and not self._closed:
            raise self.fault()
        with super().opened(to_write=to_write):
            yield

    def fault(self) -> Exception:
        return BrokerUnavailable("the backend is away")

    def _new_watch(self) -> BaseWatch:
        return NamesAllAfterAnOutage(self._unwatch, self)

    @property
    def is_away(self) -> bool:
        return self._place("away").exists()

    @property
    def outages(self) -> int:
        file = self._place("outages")
        return file.stat().st_size if file.exists() else 0

    def _place(self, name: str) -> Path:
        return self.file.parent.parent / name


class NamesAllAfterAnOutage(SharedWatch):
    _outages = 0

    def _listen(self, timeout: float | None) -> None:
        super()._listen(timeout)
        broker = self._broker
        if isinstance(broker, CanBeAway) and broker.outages != self._outages:
            self._outages = broker.outages
            self.after_an_outage()

    def after_an_outage(self) -> None:
        self.ring_all()


@breaks(
    while_the_backend_is_away_each_call_says_so=ONLY_UNAVAILABLE,
    while_the_backend_is_away_each_capability_says_so=ONLY_UNAVAILABLE,
    the_broker_works_again_when_the_backend_is_back=ONLY_UNAVAILABLE,
    a_repeated_append_is_stored_once_however_the_first_try_ended=ONLY_UNAVAILABLE,
    a_watch_made_while_the_backend_is_away_raises_nothing_else=ONLY_UNAVAILABLE,
)
class RaisesWhatItsDriverRaises(CanBeAway):
    def fault(self) -> Exception:
        return ConnectionError("connection refused")


@breaks(while_the_backend_is_away_each_capability_says_so=ONLY_UNAVAILABLE)
class ListsWithWhatItsDriverRaises(CanBeAway):
    def streams(self) -> list[StreamInfo]:
        if self.is_away:
            raise ConnectionError("connection refused")
        return list(super().streams())


@breaks(while_the_backend_is_away_each_capability_says_so="streams returned although")
class ListsNothingWithoutABackend(CanBeAway):
    def streams(self) -> list[StreamInfo]:
        return [] if self.is_away else list(super().streams())


@breaks(while_the_backend_is_away_each_capability_says_so="time returned although")
class TellsTheTimeWithoutABackend(CanBeAway):
    def time(self) -> float:
        return time.time()


@breaks(a_watch_made_while_the_backend_is_away_raises_nothing_else=ONLY_UNAVAILABLE)
class WatchesWithWhatItsDriverRaises(CanBeAway):
    def watch(self) -> Watch:
        if self.is_away:
            raise ConnectionError("connection refused")
        return super().watch()


@breaks(while_the_backend_is_away_each_call_says_so="read returned although the backend is away")
class ReadsOnWithoutABackend(CanBeAway):
    def read(self, cursors: Mapping[str, str], limit: int, max_bytes: Bound = None) -> Pages:
        return {name: self._page(name, cursor, limit, max_bytes) for name, cursor in cursors.items()}


@breaks(while_the_backend_is_away_each_call_says_so="tail returned although the backend is away")
class TellsTailsFromMemory(CanBeAway):
    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        return {name: self.log(name).last for name in stream_ids}


@breaks(while_the_backend_is_away_each_call_says_so="end returned although the backend is away")
class EndsInSilenceWithoutABackend(CanBeAway):
    def end(self, stream_id: str) -> None:
        if not self.is_away:
            super().end(stream_id)


@breaks(
    while_the_backend_is_away_each_call_says_so="append returned although the backend is away",
    the_broker_works_again_when_the_backend_is_back="append returned without a backend",
)
class DropsInSilenceWithoutABackend(CanBeAway):
    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return ["lost"] if self.is_away else super().append(stream_id, events, **key)


@breaks(
    the_broker_works_again_when_the_backend_is_back="publishing again: not within",
    what_was_appended_is_there_after_an_outage_or_readers_are_told="reading again: not within",
    a_repeated_append_is_stored_once_however_the_first_try_ended="publishing again: not within",
    after_an_outage_a_watch_names_every_stream_or_raises="publishing again: not within",
)
class StaysAway(CanBeAway):
    @property
    def is_away(self) -> bool:
        return super().is_away or self.outages > 0


@breaks(a_repeated_append_is_stored_once_however_the_first_try_ended="was not stored once")
class StoresLaterWhatItRefused(CanBeAway):
    refused: tuple[str, Sequence[Event]] | None = None

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if self.is_away:
            self.refused = stream_id, events
        ids = super().append(stream_id, events, **key)
        if self.refused:
            super().append(*self.refused)
            self.refused = None
        return ids


@breaks(what_was_appended_is_there_after_an_outage_or_readers_are_told="its reader wasn't told by a gap")
class LosesTheNewestEntry(CanBeAway):
    def _load(self) -> None:
        super()._load()
        log = self._logs.get("news")
        if self.outages == 1 and log and len(log.entries) == 2:
            log.entries.pop()


class ForgetsBells(NamesAllAfterAnOutage):
    def after_an_outage(self) -> None:
        pass

    def look(self) -> None:
        if not self.is_deaf:
            super().look()

    def ring(self, stream_ids: Iterable[str]) -> None:
        if not self.is_deaf:
            super().ring(stream_ids)

    @property
    def is_deaf(self) -> bool:
        return isinstance(self._broker, CanBeAway) and self._broker.outages > 0


@breaks(after_an_outage_a_watch_names_every_stream_or_raises="heard of what came after the outage")
class ForgetsBellsInAnOutage(CanBeAway):
    def _new_watch(self) -> BaseWatch:
        return ForgetsBells(self._unwatch, self)


@breaks(closing_works_while_the_backend_is_away="closing a broker whose backend is away")
class WaitsForItsBackendToClose(CanBeAway):
    def close(self) -> None:
        while self.is_away:
            time.sleep(0.01)
        super().close()


@breaks(closing_works_while_the_backend_is_away="the backend is away")
class CannotCloseWithoutABackend(CanBeAway):
    def close(self) -> None:
        if self.is_away:
            raise BrokerUnavailable("the backend is away")
        super().close()
