"""The broker: what is to be written."""

from collections.abc import Collection, Mapping, Sequence

from streamy_core.broker import Broker, Event, Page, Watch


class SkeletonBroker(Broker):
    """Any thread may call any method, also while another one closes the broker.

    log:     two brokers on one log share its streams.
    history: so many entries of a stream are kept at least, and twice as many at most.
    """

    def __init__(self, log: str, history: int) -> None:
        self._log = log
        self._history = history

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
