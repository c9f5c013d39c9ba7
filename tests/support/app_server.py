"""The app of `app.py` under any web server, and all that it can be asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from streamy_core.engine.health import Health
from streamy_core.testing.reading import eventually

from .raw_client import RawClient
from .web_server import Pair, WebServer

APP: Final = f"{__package__}.app:create_app()"

SLOTS: Final = "STREAMY_WSGI_SLOTS"
"""The setting that says how many streams may hold a thread."""


GTHREAD: Final = Pair("gthread", "detached", threads=4)


class Stats(NamedTuple):
    """What a worker holds. resident: bytes of memory."""

    threads: int
    descriptors: int
    streams: int
    clients: int
    resident: int

    @property
    def held(self) -> tuple[int, int, int, int]:
        """What has to be given back."""
        return self.threads, self.descriptors, self.streams, self.clients


class AppServer(WebServer):
    """A server of the app, or of one that has its routes, too.

    pair:     which server, with which delivery.
    app:      as gunicorn takes it.
    settings: of the app, by the names of its keys.
    """

    def __init__(
        self,
        log: Path,
        pair: Pair = GTHREAD,
        *,
        app: str = APP,
        settings: Mapping[str, object | None] | None = None,
        **server: Any,
    ) -> None:
        given = {
            "STREAMY_BROKER_URL": "memory://",
            "STREAMY_DELIVERY": pair.delivery,
            # All threads: clients that have just left still hold theirs until the next keep-alive.
            SLOTS: 0 if pair.polls else pair.threads,
        }
        super().__init__(
            app,
            log,
            server=pair.server,
            threads=pair.threads,
            environment=given | dict(settings or {}),
            **{"options": ("--graceful-timeout", "5"), **server},
        )
        self.pair = pair
        self._warm = False

    def path(
        self,
        *streams: str,
        after: str | None = None,
        keep_alive: float | None = None,
        key: str | None = None,
    ) -> str:
        """The path and query of these streams.

        after: for `?last_event_id=`. keep_alive: seconds between keep-alives.
        """
        query = {"ids": ",".join(streams), "last_event_id": after, "keep_alive": keep_alive, "key": key}
        return "/stream?" + urlencode({name: value for name, value in query.items() if value is not None})

    def url(self, *streams: str, port: int | None = None, after: str | None = None) -> str:
        """The same as a URL; `port` may be a proxy's."""
        return f"http://127.0.0.1:{port or self.port}{self.path(*streams, after=after)}"

    def connect(
        self, *streams: str, last_event_id: str | None = None, port: int | None = None, **query: Any
    ) -> RawClient:
        """A client that has asked for these streams. last_event_id: for the header. query: as in `path`."""
        path = self.path(*streams, **query)
        return RawClient(("127.0.0.1", port or self.port), path, last_event_id=last_event_id, tls=self.tls)

    def visit(self, path: str, **request: Any) -> RawClient:
        """A client that has asked for this, as `RawClient` says."""
        return RawClient(self.address, path, tls=self.tls, **request)

    def send(self, stream: str, text: str, name: str | None = None) -> str:
        """Publish and return the id."""
        query = f"?{urlencode({'name': name})}" if name else ""
        return self._post(f"/send/{quote(stream)}{query}", text).decode()

    def batch(self, stream: str, texts: Sequence[str]) -> list[str]:
        """Publish in one call and return the ids."""
        ids: list[str] = json.loads(self._post(f"/batch/{quote(stream)}", json.dumps(texts)))
        return ids

    def publish(self, stream: str, *, count: int, size: int, rate: float) -> None:
        """Have it publish so many events of this size, so many a second, while this returns."""
        self._post(f"/publish/{quote(stream)}?{urlencode({'count': count, 'size': size, 'rate': rate})}")

    def end(self, stream: str) -> None:
        self._post(f"/end/{quote(stream)}")

    def cursor(self, *streams: str) -> str:
        """The cursor "from now on"."""
        return self.ask(f"/cursor/{quote(','.join(streams))}").decode()

    def calls(self, *streams: str) -> int:
        """How often these streams have been asked for."""
        return int(self.ask(f"/calls/{quote(','.join(streams))}"))

    def health(self) -> Health:
        return Health(**json.loads(self.ask("/health")))

    def stats(self) -> Stats:
        return Stats(**json.loads(self.ask("/stats")))

    def settled(self) -> Stats:
        """The stats of a server that has started all it ever starts, and that nobody reads from."""
        if not self._warm:
            self._meet()
            with self.connect("warm-up") as client:
                client.read_opening()
            self._warm = True
        seen: list[Stats] = []

        def stays() -> bool:
            seen.append(self.stats())
            held = [stats.held for stats in seen[-8:]]
            return held[-1][2:] == (0, 0) and len(held) == 8 and len(set(held)) == 1

        eventually(stays, f"quiet on {self}")
        return seen[-1]

    def settles_to(self, base: Stats) -> None:
        """Fail unless everything beyond `base` is given back."""
        seen = [self.stats()]

        def is_back() -> bool:
            seen.append(self.stats())
            return all(now <= then for now, then in zip(seen[-1].held, base.held, strict=True))

        try:
            eventually(is_back, "everything given back")
        except AssertionError as error:
            error.add_note(f"{base} is where it should be, {seen[-1]} is where it stays")
            raise

    def __str__(self) -> str:
        return str(self.pair)

    def _post(self, path: str, text: str = "") -> bytes:
        return self.ask(path, method="POST", body=text.encode())

    def _meet(self) -> None:
        """Have as many requests served at once as can be: then every thread of a pool exists."""
        waiting = [self.connection() for _ in range(self.pair.threads)]
        try:
            for connection in waiting:
                connection.request("GET", f"/meet/{len(waiting)}", headers={"Connection": "close"})
            for connection in waiting:
                assert connection.getresponse().read() == b"met"
        finally:
            for connection in waiting:
                connection.close()
