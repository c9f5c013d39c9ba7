"""Which group a stream belongs to: a label with few values, whatever streams are called."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from ...exact import exact_text

MOST: Final = 50
"""Groups of one manager in one process; further ones are `OTHER`."""

OTHER: Final = "other"
NONE: Final = "none"
"""The group of streams whose names have no ":", which would otherwise be labels as they are."""

_CACHED: Final = 1_000
_LONGEST: Final = 100

logger: Final = logging.getLogger("streamy.observers")

GroupOf = Callable[[str], str]
"""Gives the group of a stream of this name. Must not block. Any thread."""


def before_the_colon(stream_id: str) -> str:
    """What stands before the first ":"."""
    group, colon, _ = stream_id.partition(":")
    return group if colon and group else NONE


class Groups:
    """Asks `group_of`, and sees that there are never more than `MOST` groups. Any thread."""

    def __init__(self, group_of: GroupOf | None = None) -> None:
        self._group_of = group_of or before_the_colon
        self._groups: set[str] = set()
        self._of: dict[str, str] = {}
        self._failed = False

    def of(self, stream_id: str) -> str:
        """The stream's group."""
        group = self._of.get(stream_id)
        if group is None:
            if len(self._of) >= _CACHED:
                self._of = {}
            group = self._of[stream_id] = self._ask(stream_id)
        return group

    def _ask(self, stream_id: str) -> str:
        try:
            group = exact_text(self._group_of(stream_id))
            if group is None:
                raise TypeError("it returned no text")
        except Exception:
            if not self._failed:
                self._failed = True
                logger.exception(
                    "STREAMY_STREAM_GROUP failed; its stream is of the group %r, and this is logged once",
                    OTHER,
                )
            return OTHER
        group = group[:_LONGEST]
        if group not in self._groups:
            if len(self._groups) >= MOST:
                return OTHER
            self._groups.add(group)
        return group
