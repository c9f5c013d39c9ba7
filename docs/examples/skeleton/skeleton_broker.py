"""`skeleton://log?history=50`: a broker to be written."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from streamy_core import ConfigError, Event
from streamy_core.broker import Broker, Page, Watch, hookimpl, options_of


@hookimpl
def streamy_brokers() -> Mapping[str, Callable[[str, Mapping[str, Any]], Broker]]:
    return {"skeleton": from_url}


def from_url(url: str, options: Mapping[str, Any]) -> Broker:
    given = {**options_of(url), **options}
    history = int(given.pop("history", 1_000))
    if given:
        raise ConfigError(f"skeleton:// has no option {min(given)!r}; it has history")
    return SkeletonBroker(urlsplit(url).netloc, history)


class SkeletonBroker(Broker):
    def __init__(self, log: str, history: int) -> None:
        self._log = log  # two brokers on one log share its streams
        self._history = history  # so many entries of a stream are kept at least, and twice as many at most

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        raise NotImplementedError(
            "store `events` at the end of the stream, all or none, and ring its bell; return their new ids"
        )

    def read(self, cursors: Mapping[str, str], limit: int) -> Mapping[str, Page]:
        raise NotImplementedError(
            "return a Page for each stream: at most `limit` entries behind its cursor, or a gap"
        )

    def tail(self, stream_id: str) -> str:
        raise NotImplementedError("return the cursor behind which lies what is appended from now on")

    def end(self, stream_id: str) -> None:
        raise NotImplementedError("end the stream for good, with an id of the end's own, and ring its bell")

    def watch(self) -> Watch:
        raise NotImplementedError("return a new SkeletonWatch, and remember it for `close`")

    def close(self) -> None:
        raise NotImplementedError("close all watches; from now on every call raises Closed")


class SkeletonWatch(Watch):
    def add(self, stream_id: str) -> None:
        raise NotImplementedError("watch this stream too; what is appended once this returns, `wait` names")

    def discard(self, stream_id: str) -> None:
        raise NotImplementedError("watch this stream no longer, if it is watched")

    def wait(self, timeout: float | None) -> Collection[str]:
        raise NotImplementedError("block until a bell rings; return the streams that may have grown")

    def interrupt(self) -> None:
        raise NotImplementedError("make the `wait` under way, or else the next one, return at once")

    def close(self) -> None:
        raise NotImplementedError("make the `wait` under way return; from now on it raises Closed")
