"""How many clients may hold a thread of a server's each."""

from __future__ import annotations

from typing import NamedTuple, Self

from .limits import UNLIMITED, VISITORS
from .servers import UNBOUNDED


class Slots(NamedTuple):
    """How many bodies may stay at once and hold a thread each; and how many more may visit."""

    stays: int
    visits: int

    @classmethod
    def of(cls, capacity: int | None, stays: int | None) -> Self:
        """Those of a server that serves so many requests at once; None: any number.

        stays: as many as the settings say; None: half. A quarter is then left free of streams, where
               there are four threads or more.
        """
        if capacity is None or capacity >= UNBOUNDED:
            return cls(UNLIMITED if stays is None else stays, VISITORS)
        return cls(capacity // 2 if stays is None else stays, max(1, capacity // 4))
