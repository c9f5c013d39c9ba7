"""A handler of `logging` that publishes what is logged."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .manager import StreamManager

_OURS: Final = "streamy"
"""Loggers of ours begin with it and a full stop, threads with it and a hyphen."""


class StreamHandler(logging.Handler):
    """Publishes records to a stream, as text, by `send_soon`: whoever logs waits for no broker. Any thread.

        logging.getLogger("shop").addHandler(StreamHandler(sse, "log"))

    manager:    publishes; outside an app context it has to serve one app at most.
    stream_id:  the stream.
    event_name: the events' name.
    level:      the least that is published, as for any handler.

    A record's data is what the handler's formatter makes of it. What goes wrong in that is for
    `logging.Handler.handleError`; what comes of the event later, for `send_soon`.

    Not published is what publishing would itself have logged, again and again: records of the loggers
    `streamy` and below, those of Streamy's own threads, by whichever logger, and those that come while a
    record is being published by the same thread.
    """

    def __init__(
        self,
        manager: StreamManager,
        stream_id: str,
        event_name: str | None = None,
        *,
        level: int | str = logging.NOTSET,
    ) -> None:
        super().__init__(level)
        self._manager = manager
        self._stream_id = stream_id
        self._event_name = event_name
        self._here = threading.local()

    def handle(self, record: logging.LogRecord) -> Any:
        """Publish a record, unless it is filtered.

        The handler's lock isn't taken: who holds it would wait for locks of the manager's, and who holds
        those may log.
        """
        if getattr(self._here, "publishing", False) or _is_ours(record):
            return False
        found: Any = self.filter(record)
        if found:
            self.emit(found if isinstance(found, logging.LogRecord) else record)
        return found

    def emit(self, record: logging.LogRecord) -> None:
        """Publish a record."""
        self._here.publishing = True
        try:
            self._manager.send_soon(self._stream_id, self.format(record), self._event_name)
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)
        finally:
            self._here.publishing = False


def _is_ours(record: logging.LogRecord) -> bool:
    # A record may come by a queue, from another thread.
    threads = (threading.current_thread().name, record.threadName or "")
    return (
        record.name == _OURS
        or record.name.startswith(f"{_OURS}.")
        or any(name.startswith(f"{_OURS}-") for name in threads)
    )
