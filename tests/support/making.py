"""For fixtures that make as many of something as a test asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, TypeVar


class Closes(Protocol):
    """What has to be closed."""

    def close(self) -> object: ...


Made = TypeVar("Made", bound=Closes)


@contextmanager
def closed_in_the_end(make: Callable[..., Made]) -> Iterator[Callable[..., Made]]:
    """Gives what makes things as `make` does. All are closed in the end, the last first."""
    with ExitStack() as to_close:

        def make_one(*args: Any, **options: Any) -> Made:
            made = make(*args, **options)
            to_close.callback(made.close)
            return made

        yield make_one
