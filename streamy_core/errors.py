"""The one tree of errors that Streamy raises."""

from __future__ import annotations

from collections.abc import Mapping


class StreamyError(Exception):
    """The root: `except StreamyError` catches whatever Streamy itself raises."""


class ConfigError(StreamyError, ValueError):
    """A setting is unknown, of the wrong type or impossible; the message names the key and the cure."""


class UnknownBackend(ConfigError):
    """No installed plug-in claims the URL's scheme."""


class BackendConflict(ConfigError):
    """Two installed plug-ins claim the URL's scheme."""


class BackendUnusable(ConfigError):
    """The plug-in for the URL's scheme is there but can't be used: a driver is missing, an import fails."""


class InvalidStreamId(StreamyError, ValueError):
    """The stream's name is not 1 to 255 characters of text without control characters."""


class InvalidCursor(StreamyError, ValueError):
    """What was given as a cursor is no text at all. (Any text is taken: what it doesn't place is a gap.)"""


class InvalidKey(StreamyError, ValueError):
    """A client's key is neither text nor a whole number, so that `disconnect` might not find it again."""


class InvalidEvent(StreamyError, ValueError):
    """The event can't be put on the wire as it is; nothing has been stored."""


class EndlessBody(StreamyError, RuntimeError):
    """Somebody asked for the whole body of an event stream, which has no end."""

    def __init__(self, asker: str) -> None:
        super().__init__(asker)
        self.asker = asker

    def __str__(self) -> str:
        return (
            f"{self.asker} asks for the whole body of an event stream, which has no end: have it leave "
            "responses alone whose `direct_passthrough` is true"
        )


class StreamEnded(StreamyError, ValueError):
    """The stream has ended for good and takes no more events."""

    def __init__(self, stream_id: str) -> None:
        super().__init__(stream_id)
        self.stream_id = stream_id

    def __str__(self) -> str:
        return f"stream {self.stream_id!r} has ended and takes no more events"


class RunExists(StreamyError, ValueError):
    """The stream's name is in use: a run has begun there, or something was published. Nothing is stored."""

    def __init__(self, stream_id: str) -> None:
        super().__init__(stream_id)
        self.stream_id = stream_id

    def __str__(self) -> str:
        return (
            f"stream {self.stream_id!r} is in use: give each run a name of its own, as by uuid4(), or say "
            "join=True to follow the run that is there"
        )


class RunStopped(StreamyError):
    """The run is to be stopped, or has ended already: produce no more. `with sse.run(…)` takes it.

    reason: why, in a word or two.
    """

    def __init__(self, stream_id: str, reason: str) -> None:
        super().__init__(stream_id, reason)
        self.stream_id = stream_id
        self.reason = reason

    def __str__(self) -> str:
        return f"the run of stream {self.stream_id!r} was {self.reason}: it takes nothing more"


class TooManyRuns(StreamyError):
    """As many runs as may have threads of this process's: `STREAMY_RUN_THREADS`. Nothing is stored."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most

    def __str__(self) -> str:
        return (
            f"{self.most:,} runs have threads in this process, as many as STREAMY_RUN_THREADS allows: raise "
            "it, give start_run an executor=, or have the client come back by try_later"
        )


class BrokerUnavailable(StreamyError):
    """The backend could not be reached or did not answer; trying again later may succeed.

    The only error that Streamy retries. A broker raises it, and nothing else, for every passing fault.
    """


class PartlyUnavailable(BrokerUnavailable):
    """Of many streams that were to be appended to, some could not be reached: `fault` says why.

    stored: the ids of what was stored in the others, as `AppendsToMany.append_to_many` returns them.
    """

    def __init__(self, stored: Mapping[str, list[str]], fault: BrokerUnavailable) -> None:
        super().__init__(stored, fault)
        self.stored = stored
        self.fault = fault

    def __str__(self) -> str:
        return str(self.fault)


class PublishFailed(StreamyError):
    """Publishing, or ending a stream, was given up after the retry policy's last attempt.

    `__cause__` is the last fault, which the message tells as well.

    stored: of a broadcast, the ids of the entries that are known to be stored, by stream. `stream_id` is the
            first of the others, and `others` is how many more there are.
    """

    def __init__(
        self,
        action: str,
        stream_id: str,
        attempts: int,
        fault: StreamyError,
        *,
        others: int = 0,
        stored: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(action, stream_id, attempts, fault)
        self.stream_id = stream_id
        self.attempts = attempts
        self.others = others
        self.stored: Mapping[str, str] = stored or {}

    def __str__(self) -> str:
        action, stream_id, attempts, fault = self.args
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        more = f" and {self.others:,} others" if self.others else ""
        return f"could not {action} stream {stream_id!r}{more}: given up after {times}: {fault}"


class Closed(StreamyError, RuntimeError):
    """The manager, broker or subscription has been closed and can't be used any more."""
