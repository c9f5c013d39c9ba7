"""Caddy as the guide sets it up, but over plain HTTP."""

from __future__ import annotations

import socket
from pathlib import Path

from streamy_core.testing.reading import DEADLINE

from . import ROOT
from .ports import free_port
from .process import ServerProcess
from .requirements import find_program, go_without


class Caddy(ServerProcess):
    """Passes everything to this upstream. directory: for its files. Skips without it."""

    def __init__(self, directory: Path, upstream: tuple[str, int]) -> None:
        program = find_program("caddy") or go_without("Caddy is missing: apt-get install caddy")
        self.plain = ("127.0.0.1", free_port())
        text = (ROOT / "docs" / "examples" / "Caddyfile").read_text("utf-8")
        here = {
            "shop.example {": f"http://{self.plain[0]}:{self.plain[1]} {{",
            "127.0.0.1:8000": f"{upstream[0]}:{upstream[1]}",
        }
        for there, found in here.items():
            assert there in text, f"the guide's Caddyfile has no {there}"
            text = text.replace(there, found)
        config = directory / "Caddyfile"
        config.write_text(f"{{\n\tadmin off\n}}\n{text}")
        super().__init__(
            [program, "run", "--adapter", "caddyfile", "--config", config],
            directory / "caddy.log",
            environment={"XDG_DATA_HOME": directory, "XDG_CONFIG_HOME": directory},
        )

    def answers(self) -> bool:
        try:
            socket.create_connection(self.plain, DEADLINE).close()
        except ConnectionRefusedError:
            return False
        return True
