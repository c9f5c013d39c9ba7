"""What servers have in common that serve each request by a greenlet."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from .base import UNBOUNDED, Server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class GreenletServer(Server):
    """Any number of requests at once, unless a thread that waits makes all greenlets wait."""

    patch: ClassVar[str]
    """The call by which a thread that waits is a greenlet that waits."""

    @abstractmethod
    def is_patched(self) -> bool:
        """Whether that call was made."""

    def capacity(self, environ: WSGIEnvironment) -> int | None:
        return UNBOUNDED if self.is_patched() else 1

    def trouble(self) -> str | None:
        if self.is_patched():
            return None
        return f"{self.name} serves one stream at a time here: call {self.patch} before all imports"
