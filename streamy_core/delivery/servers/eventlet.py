"""eventlet's own server, `eventlet.wsgi`: a greenlet for each request, any number of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .greenlets import GreenletServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Eventlet(GreenletServer):
    """It collects 4,096 bytes before it sends any, unless a request says otherwise."""

    name: ClassVar[str] = "eventlet"

    patch: ClassVar[str] = "eventlet.monkey_patch()"

    environ_key: ClassVar[str] = "eventlet.posthooks"

    def send_at_once(self, environ: WSGIEnvironment) -> None:
        environ["eventlet.minimum_write_chunk_size"] = 0

    def is_patched(self) -> bool:
        from eventlet.patcher import is_monkey_patched  # type: ignore[import-untyped]

        return bool(is_monkey_patched("thread"))
