"""`skeleton://log?history=50`: a broker to be written."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from streamy_core.broker import Broker, BrokerFactory, Event, Page, Watch, hookimpl, options_of
from streamy_core.options import option, parse_options, whole


@hookimpl
def streamy_brokers() -> Mapping[str, BrokerFactory]:
    return {"skeleton": from_url}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    history: int = option(1_000, whole(1), doc="The newest entries of a stream that are kept.")


def from_url(url: str, options: Mapping[str, Any]) -> Broker:
    given = {**options_of(url), **options}
    parsed = parse_options(Options, given, "skeleton:// option {!r}".format)
    return SkeletonBroker(urlsplit(url).netloc, parsed.history)


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

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        raise NotImplementedError(
            "return a Page for each stream: what lies after its cursor, `bounded`, or a gap"
        )

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        raise NotImplementedError(
            "return a cursor for each stream, after which lies what is appended from now on"
        )

    def end(self, stream_id: str) -> None:
        raise NotImplementedError("end the stream for good, with an id of the end's own, and ring its bell")

    def watch(self) -> Watch:
        raise NotImplementedError(
            "return a BaseWatch, to be told by `ring`, or a PollingWatch, which asks; remember it for `close`"
        )

    def close(self) -> None:
        raise NotImplementedError("close all watches; from now on every call raises Closed")
