"""Two servers with the same data, of which one takes no writes; and an endpoint that leads to either."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from streamy_backends.sql import from_url
from streamy_core.testing.reading import events, eventually

from ...support.proxy import Proxy
from .conftest import OwnServer
from .servers import Server

APP = "app:secret"
"""The login of a user who may do all with the tables, and no more."""


class Pair:
    """`old` takes writes until `demote`; `new` does always. Clients come by `endpoint`, to `old` at first."""

    def __init__(self, kind: str, old: Server, new: Server, endpoint: Proxy) -> None:
        self.kind = kind
        self.old, self.new, self.endpoint = old, new, endpoint
        self.url = self._as_app(endpoint.through(old.url))
        self.new_url = self._as_app(new.url)

    def demote(self) -> None:
        """Have `old` take no writes any more: connections stay up."""
        set_read_only(self.kind, self.old, True)

    def promote(self) -> None:
        set_read_only(self.kind, self.old, False)

    def move(self) -> None:
        """Have the endpoint lead to `new` from now on; connections to `old` stay up."""
        self.endpoint.lead_to(("127.0.0.1", self.new.port))

    def _as_app(self, url: str) -> str:
        head, _, tail = url.partition("@")
        return f"{head.partition('//')[0]}//{APP}@{tail}"


def set_read_only(kind: str, server: Server, on: bool) -> None:
    if kind == "mariadb":
        server.execute(f"SET GLOBAL read_only = {int(on)}")
    else:
        server.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
        server.execute("SELECT pg_reload_conf()")
        setting = "on" if on else "off"
        eventually(
            lambda: server.execute("SHOW default_transaction_read_only") == [(setting,)], "the new setting"
        )


@contextmanager
def pair_of(kind: str, own_server: OwnServer, prefix: str, *, standby: bool = False) -> Iterator[Pair]:
    """standby: `old` is a hot standby from the beginning."""
    new, old = own_server(kind).start(), own_server(kind)
    if kind == "mariadb":
        new.execute("GRANT ALL ON streams.* TO app@'%' IDENTIFIED BY 'secret'")
    else:
        new.execute("CREATE ROLE app LOGIN PASSWORD 'secret'")
        new.execute("GRANT ALL ON SCHEMA public TO app")
    with Proxy(("127.0.0.1", old.port)) as endpoint:
        pair = Pair(kind, old, new, endpoint)
        with from_url(pair.new_url, {"table_prefix": prefix}) as broker:
            broker.append("news", events("before"))
        if kind == "postgresql":
            new.execute("CHECKPOINT")
        new.kill()
        data: Any = old.folder / "data"
        shutil.rmtree(data)
        shutil.copytree(new.folder / "data", data)
        if standby:
            (data / "standby.signal").touch()
        new.start()
        old.start()
        yield pair
