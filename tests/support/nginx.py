"""nginx as Debian ships it, told nothing but where to pass requests to."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from streamy_core.testing.reading import DEADLINE

from .ports import free_port
from .process import ServerProcess
from .requirements import find_program, go_without


class Nginx(ServerProcess):
    """nginx, which passes everything to this upstream, with plain HTTP and with TLS. Skips without it.

    directory: for its files; certificate: a PEM file with a certificate and its key.
    """

    def __init__(self, directory: Path, upstream: tuple[str, int], certificate: Path) -> None:
        # Debian keeps it where only root looks.
        program = find_program("nginx", ["/usr/sbin"]) or go_without(
            "nginx is missing: apt-get install nginx"
        )
        self.plain, self.tls = (("127.0.0.1", free_port()) for _ in range(2))
        log, config = directory / "nginx.log", directory / "nginx.conf"
        passing = f"location / {{ proxy_pass http://{upstream[0]}:{upstream[1]}; }}"
        temporary = "\n".join(
            f"{kind}_temp_path {directory / kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(f"""
            daemon off; {user} worker_processes 1;
            pid {directory / "nginx.pid"}; error_log {log} notice;
            events {{ }}
            http {{
                access_log off; {temporary}
                server {{ listen {self.plain[0]}:{self.plain[1]}; {passing} }}
                server {{
                    listen {self.tls[0]}:{self.tls[1]} ssl; {passing}
                    ssl_certificate {certificate}; ssl_certificate_key {certificate};
                }}
            }}
        """)
        super().__init__([program, "-p", directory, "-e", log, "-c", config], log)

    def answers(self) -> bool:
        try:
            for address in (self.plain, self.tls):
                socket.create_connection(address, DEADLINE).close()
        except ConnectionRefusedError:
            return False
        return True
