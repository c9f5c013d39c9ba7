"""What a server is: an endpoint may lead to another by now, while connections stay up."""

from __future__ import annotations

import logging
import time
from typing import Final

from sqlalchemy.engine.interfaces import DBAPICursor

from .dialect import Dialect

_EVERY: Final = 1.5
"""Seconds between two questions."""

logger: Final = logging.getLogger("streamy.sql")


class Role:
    """Asks now and then, along with a look, whether the server takes writes. Any thread."""

    def __init__(self, dialect: Dialect, url: str) -> None:
        self._question = dialect.read_only
        self._url = url
        self._due = time.monotonic() + _EVERY
        self._read_only = False

    def is_read_only(self, db: DBAPICursor) -> bool:
        """Whether it has just been found to take no writes: a replica, say, whose primary is elsewhere.

        Nobody publishes there, so who listens to it hears nothing.
        """
        if self._question is None or time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + _EVERY
        db.execute(self._question)
        (answer,) = db.fetchone() or (None,)
        found = str(answer).lower() not in ("none", "0", "off")
        if found and not self._read_only:
            logger.warning(
                "the server of %s takes no writes: connections are made anew until one leads to a server "
                "that does",
                self._url,
            )
        elif self._read_only and not found:
            logger.warning("the server of %s takes writes again", self._url)
        self._read_only = found
        return found
