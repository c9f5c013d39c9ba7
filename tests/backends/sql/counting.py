"""How many connections a broker has, by what the servers themselves say."""

from __future__ import annotations

from typing import Final

from .servers import Server

CONNECTIONS: Final = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = '{name}'",
}


class Counting:
    """A server, and how to count the connections of one broker's alone."""

    def __init__(self, kind: str, server: Server, name: str) -> None:
        self._server = server
        self._sql = CONNECTIONS[kind].format(name=name)
        self.url = (
            f"{server.url}?application_name={name}" if kind == "postgresql" else server.new_database(name)
        )

    def connections(self) -> set[int]:
        """The numbers that the server gives to those that are open."""
        return {number for (number,) in self._server.execute(self._sql)}
