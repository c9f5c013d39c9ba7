"""What happened in a soak: a value for each call of a broker, and the file that keeps them, a line for each.

Times are nanoseconds since the soak began, by the machine's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from ...errors import BrokerUnavailable, ConfigError, StreamEnded

AWAY: Final = "BrokerUnavailable"
"""How the fault of a call begins that failed since the backend was away, as it may be."""
ENDED: Final = "StreamEnded"
"""The fault of an append that was refused as its stream had ended."""

Ids = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of a broker or a watch.

    who:      the thread that made it: a writer, a reader, or the one watch of a watcher.
    returned: when it returned or raised; None if it never did, as its process was killed.
    fault:    what it raised; nothing if it returned.
    """

    kind: ClassVar[str]

    who: str
    called: int
    returned: int | None = None
    fault: str = ""

    @property
    def done(self) -> bool:
        """Whether it has returned, and not raised."""
        return self.returned is not None and not self.fault

    @property
    def until(self) -> int:
        """When it was over at the latest, as far as anybody knows."""
        return self.called if self.returned is None else self.returned

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(Call):
    """`Broker.append`. No two events of a soak have the same data, but for those of one key."""

    kind = "append"

    stream: str
    data: tuple[str, ...]
    key: str | None = None
    ids: Ids = ()

    @property
    def refused(self) -> bool:
        """Whether it has certainly stored nothing, as the stream had ended."""
        return self.fault == ENDED

    def __str__(self) -> str:
        what = " and ".join([repr(data) for data in self.data[:: max(1, len(self.data) - 1)]])
        return f"append {what}" + (f" under the key {self.key!r}" if self.key is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Call):
    """`Broker.read` of one stream. What it gave is what `Page` has."""

    kind = "read"

    stream: str
    cursor: str
    ids: Ids = ()
    data: tuple[str, ...] = ()
    next: str = ""
    ended: bool = False
    gap: bool = False
    more: bool = False

    @property
    def reaches_the_end(self) -> bool:
        """Whether it says that the log holds nothing after what it gave."""
        return self.done and not self.more and not self.gap

    def __str__(self) -> str:
        return f"read after {self.cursor!r}" if self.cursor else "read from the oldest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail(Call):
    """`Broker.tail` of one stream."""

    kind = "tail"

    stream: str
    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class End(Call):
    """`Broker.end`."""

    kind = "end"

    stream: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Call):
    """`Watch.add`."""

    kind = "add"

    stream: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Call):
    """`Watch.wait`. seconds: its timeout."""

    kind = "wait"

    seconds: float
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage(Call):
    """The backend was taken away when it was called, and was back when it returned."""

    kind = "outage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Call):
    """What a process had to do, and why it didn't come to its end."""

    kind = "work"


KINDS: Final[Mapping[str, type[Call]]] = {
    kind.kind: kind for kind in (Append, Read, Tail, End, Add, Wait, Outage, Work)
}


_LISTS: Final = {"data", "ids", "named"}


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All calls of a soak.

    about:        what was soaked, and how to do it again.
    rings_within: the broker's, in seconds.
    kept:         how many entries of a stream are kept at least; None: nobody knows.
    """

    about: str
    rings_within: float
    kept: int | None
    calls: tuple[Call, ...]

    def save(self, path: Path) -> None:
        """Write it to a file. Raises OSError."""
        head = {"about": self.about, "rings_within": self.rings_within, "kept": self.kept}
        with path.open("w", encoding="utf-8") as file:
            for line in (head, *map(told, self.calls)):
                file.write(_line(line))

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` has written. Raises OSError; ConfigError for a file that holds something else."""
        try:
            with path.open(encoding="utf-8") as file:
                head = json.loads(next(file, ""))
                return cls(calls=tuple([_call(json.loads(line)) for line in file]), **head)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"{path} is no history of a soak: {error!r}") from error


def new_file() -> Path:
    """A file for a history whose place nobody has chosen."""
    opened, name = tempfile.mkstemp(prefix="streamy-soak-", suffix=".jsonl")
    os.close(opened)
    return Path(name)


class Notes:
    """One thread's notes of its calls, in a file of its own that outlasts a kill.

    A call that may be cut off, an append or an end, is noted twice: when it begins, and when it is over.
    """

    def __init__(self, path: Path, began: int) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._began = began

    def now(self) -> int:
        """The time."""
        return time.monotonic_ns() - self._began

    def note(self, call: Call) -> None:
        """Have it written before this returns."""
        os.write(self._file, _line(told(call)).encode())

    def close(self) -> None:
        os.close(self._file)


def notes_in(path: Path) -> list[Call]:
    """The calls in the notes of a thread, each once, in order. The last line may have been cut off."""
    calls: list[Call] = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        call = _call(json.loads(line))
        if calls and calls[-1].called == call.called and calls[-1].returned is None:
            calls.pop()  # how it began
        calls.append(call)
    return calls


def in_order(calls: Iterable[Call]) -> tuple[Call, ...]:
    """The calls by when they began."""
    return tuple(sorted(calls, key=lambda call: call.called))


def fault_of(error: Exception) -> str:
    """How a history tells what a call has raised."""
    if isinstance(error, StreamEnded):
        return ENDED
    return f"{AWAY if isinstance(error, BrokerUnavailable) else type(error).__name__}: {error}"


def over(call: Call, returned: int, error: Exception | None = None) -> Any:
    """The call, when it has returned or raised."""
    return replace(call, returned=returned, fault="" if error is None else fault_of(error))


def told(call: Call) -> dict[str, Any]:
    """The call for a line of JSON, without what is as by default."""
    named = [(field.name, getattr(call, field.name), field.default) for field in fields(call)]
    return {"call": call.kind} | {name: value for name, value, default in named if value != default}


def _call(line: dict[str, Any]) -> Call:
    kind: Any = KINDS[line.pop("call")]
    made: Call = kind(**{name: tuple(value) if name in _LISTS else value for name, value in line.items()})
    return made


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=True, separators=(",", ":")) + "\n"
