"""The server of the examples that are no Flask apps."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from ..support.web_server import HttpServer


class Uvicorn(HttpServer):
    """An ASGI app, "module:app", under uvicorn."""

    def __init__(self, app: str, log: Path, **process: Any) -> None:
        command = [sys.executable, "-m", "uvicorn", "--port", "0", "--timeout-graceful-shutdown", "1", app]
        super().__init__(command, log, **process)

    def answers(self) -> bool:
        found = re.search(r"Uvicorn running on http://[\d.]+:(\d+)", self.log())
        if found is None:
            return False
        self.port = int(found[1])
        return True
