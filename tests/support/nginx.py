"""nginx as Debian ships it, told nothing but where to pass requests to; or as the guide says."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from streamy_core.testing.reading import DEADLINE

from . import ROOT
from .ports import free_port
from .process import ServerProcess
from .requirements import find_program, go_without


class Nginx(ServerProcess):
    """nginx, which passes everything to this upstream, with plain HTTP and with TLS. Skips without it.

    directory: for its files; certificate: a PEM file with a certificate and its key.
    protocol:  "http", or "uwsgi".
    guided:    whether it is told all that docs/examples/nginx.conf says.
    more:      further directives, for all it does.
    streaming: the upstream of streams, apart from the other: it is told what
               docs/examples/grants_nginx.conf says, which logs to access.log.
    """

    def __init__(
        self,
        directory: Path,
        upstream: tuple[str, int],
        certificate: Path,
        *,
        guided: bool = False,
        protocol: str = "http",
        more: str = "",
        streaming: tuple[str, int] | None = None,
    ) -> None:
        # Debian keeps it where only root looks.
        program = find_program("nginx", ["/usr/sbin"]) or go_without(
            "nginx is missing: apt-get install nginx"
        )
        self.plain, self.tls = (("127.0.0.1", free_port()) for _ in range(2))
        log, config = directory / "nginx.log", directory / "nginx.conf"
        temporary = "\n".join(
            f"{kind}_temp_path {directory / kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        address = _at(upstream)
        passing = {
            "http": f"proxy_pass http://{address};",
            "uwsgi": f"include /etc/nginx/uwsgi_params; uwsgi_pass {address};",
        }[protocol]
        if streaming is not None:
            here = {"127.0.0.1:8001": _at(streaming), "/var/log/nginx/access.log": f"{directory}/access.log"}
            servers = self._guided(upstream, certificate, "grants_nginx.conf", here)
        else:
            servers = self._guided(upstream, certificate) if guided else self._bare(passing, certificate)
            servers = f"access_log off; {servers}"
        config.write_text(f"""
            daemon off; {user} worker_processes 1;
            pid {directory / "nginx.pid"}; error_log {log} notice;
            events {{ }}
            http {{ {temporary} {more} {servers} }}
        """)
        super().__init__([program, "-p", directory, "-e", log, "-c", config], log)

    def _bare(self, passing: str, certificate: Path) -> str:
        passing = f"location / {{ {passing} }}"
        return f"""
            server {{ listen {self.plain[0]}:{self.plain[1]}; {passing} }}
            server {{
                listen {self.tls[0]}:{self.tls[1]} ssl; {passing}
                ssl_certificate {certificate}; ssl_certificate_key {certificate};
            }}
        """

    def _guided(
        self,
        upstream: tuple[str, int],
        certificate: Path,
        example: str = "nginx.conf",
        more: Mapping[str, str] | None = None,
    ) -> str:
        text = (ROOT / "docs" / "examples" / example).read_text("utf-8")
        here = {
            **(more or {}),
            "127.0.0.1:8000": _at(upstream),
            "listen 443": f"listen {self.plain[0]}:{self.plain[1]}; listen {self.tls[0]}:{self.tls[1]}",
            "/etc/ssl/shop.pem": str(certificate),
            "/etc/ssl/shop.key": str(certificate),
        }
        for there, found in here.items():
            assert there in text, f"the guide's {example} has no {there}"
            text = text.replace(there, found)
        return text

    def answers(self) -> bool:
        try:
            for address in (self.plain, self.tls):
                socket.create_connection(address, DEADLINE).close()
        except ConnectionRefusedError:
            return False
        return True


def _at(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"
