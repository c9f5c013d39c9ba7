"""What the parts of the contract have in common: how brokers are made, and that nothing is dropped."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import ClassVar, Protocol

import pytest

from ..broker import Broker, BrokerFactory, Watch
from ..plugins import open_broker

STRANGE_CURSORS = [
    "x", "0", "-1", "1", "..", "a.b.c", "a.1.b", "zzzzz.1.000", "zzzzz.99999999.000", "'", "*", "%", "_",
    "\u00e9", "🎈", "\n", "x" * 128, "x" * 5_000, "zzzzz.zzzzzzzzzzz.000",
]  # fmt: skip

AWKWARD_NAMES = [
    "a:b", "a", "A", "ä", "a\u0308", "a ", " a", "a%", "a_b", "axb", "*", "a*", "?", "[a]", "{a}", "a/b",
    "../a", ".", "'; DROP TABLE a; --", "\u2028", "日本語", "🎈", "x" * 255, "🎈" * 255, "\x1fa",
    "a%41", "%61", "a+b", "a b", "a%2Fb", "a%20b", "a\\b", "x" * 254 + "y", "x" * 200, "🎈" * 254,
    "NULL", "0", "00",
]  # fmt: skip

TO_DO = "streamy_to_do"
"""The attribute that says which method isn't written, of a failure and of its report."""

_WHOLE = "test_nothing_of_the_contract_is_dropped_without_a_reason"


class MakeBroker(Protocol):
    """Makes a broker on the log of this name, as a process of its own would.

    A log is empty at first. It keeps at least `history` entries of a stream, and what lies beyond
    them is gone at the latest when as many again have been appended.

    If brokers are shared, other processes are handed it by `pickle`, to make their own: so it is a
    `FromUrl`, or another function or object of a module that they can import.
    """

    def __call__(self, log: str = "log", *, history: int = 10_000) -> Broker: ...


class FromUrl:
    """Makes brokers from a URL, here and in other processes. A `MakeBroker`.

        FromUrl(f"directory://{tmp_path}/{{log}}", from_url)

    url:     `{log}` in it stands for the name of the log.
    factory: what the plug-in names for the URL's scheme; by itself, that of an installed plug-in.
    options: given to the factory, with `history`; `{log}` in texts stands for the name of the log.
    """

    def __init__(self, url: str, factory: BrokerFactory = open_broker, **options: object) -> None:
        self.url = url
        self._factory = factory
        self._options = options

    def __call__(self, log: str = "log", *, history: int = 10_000) -> Broker:
        def named(value: object) -> object:
            return value.replace("{log}", log) if isinstance(value, str) else value

        options = {name: named(value) for name, value in self._options.items()}
        return self._factory(self.url.replace("{log}", log), {**options, "history": history})


@contextmanager
def closed_in_the_end(broker: Broker) -> Generator[Broker]:
    """As the broker itself, but to its author a `close` that isn't written yet is one failure, not all."""
    try:
        yield broker
    finally:
        with suppress(NotImplementedError):
            broker.close()


def unwritten(error: NotImplementedError) -> str | None:
    """A line of a broker's author's to-do list, if it is a method of a broker or watch that raises."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if not isinstance(frame.f_locals.get("self"), Broker | Watch):
        return None
    return f"{frame.f_code.co_qualname} isn't written yet: {error}"


def to_do(told: str) -> BaseException:
    """How a test fails that meets a method that isn't written: the plug-in lists such failures apart."""
    failure = pytest.fail.Exception(told, pytrace=False)
    setattr(failure, TO_DO, told)
    return failure


class Contract:
    """What every part of the contract has."""

    left_out: ClassVar[Mapping[str, str]] = {}
    """Tests that the broker can't pass, each with the reason: they are skipped, and the reason is shown."""

    def __init_subclass__(cls) -> None:
        if getattr(cls, _WHOLE) is not vars(Contract)[_WHOLE] or _WHOLE in cls.left_out:
            raise TypeError(
                f"{cls.__name__} overrides or leaves out {_WHOLE}, by which nothing is dropped in silence"
            )
        super().__init_subclass__()

    @pytest.fixture
    def make_broker(self) -> MakeBroker:
        """To be given by the subclass: how to make a broker on a log of a given name."""
        raise NotImplementedError(
            "define the fixture make_broker: a function that takes the name of a log, and history=, and "
            "returns a new broker on that log, as a process of its own would"
        )

    @pytest.fixture
    def make_elsewhere(self, make_broker: MakeBroker) -> MakeBroker:
        """How another process makes a broker; by itself, as this one does."""
        return make_broker

    @pytest.fixture
    def wipe(self) -> Callable[[], None] | None:
        """To be given by the subclass, if it can: deletes all data of `make_broker`'s logs, as when an
        operator empties the database."""
        return None

    @pytest.fixture
    def broker(self, make_broker: MakeBroker) -> Iterator[Broker]:
        """A broker with an empty log."""
        with closed_in_the_end(make_broker()) as broker:
            yield broker

    @pytest.fixture(autouse=True)
    def _leave_out(self, request: pytest.FixtureRequest) -> None:
        if reason := self.left_out.get(request.node.originalname):
            pytest.skip(f"left out: {reason}")

    def test_nothing_of_the_contract_is_dropped_without_a_reason(self) -> None:
        kind = type(self)
        tests = {
            name: test
            for base in reversed(kind.__mro__)
            if base.__module__.startswith(__name__.rpartition(".")[0])
            for name, test in vars(base).items()
            if name.startswith("test_")
        }
        dropped = [name for name, test in tests.items() if getattr(kind, name, None) is not test]
        unstated = sorted(name for name in dropped if not self.left_out.get(name))
        assert not unstated, (
            f"{kind.__name__} overrides or removes {', '.join(unstated)}: leave the test as it is, and state "
            f"the reason in left_out = {{{unstated[0]!r}: ...}}"
        )
        unknown = sorted(set(self.left_out) - set(tests))
        assert not unknown, f"left_out of {kind.__name__} names what is no test: {', '.join(unknown)}"
