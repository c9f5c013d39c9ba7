"""Apache with mod_wsgi as Debian ships them: for the system's own Python, and never as root."""

from __future__ import annotations

import os
import pwd
import site
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from . import ROOT
from .requirements import find_program, go_without

MODULES: Final = Path("/usr/lib/apache2/modules")
LOADED: Final = ("mpm_event", "authz_core", "wsgi")


def need_apache() -> None:
    """Go without, if it is missing."""
    if _program() is None or not (MODULES / "mod_wsgi.so").exists():
        go_without("Apache's mod_wsgi is missing: apt-get install apache2-bin libapache2-mod-wsgi-py3")


def command(app: str, port: int, threads: int) -> list[str]:
    """What serves the app with so many threads in one process. Makes the files that it needs.

    app: "package.module:create_app".
    """
    folder = Path(mkdtemp(prefix="apache"))
    folder.chmod(0o777)
    (folder / "app.wsgi").write_text(
        f"from tests.support.serve import load\napplication = load({app + '()'!r})\n"
    )
    (folder / "apache.conf").write_text(_config(folder, port, threads))
    return [
        *_unprivileged(),
        _program() or "apache2",
        "-d",
        str(folder),
        "-f",
        str(folder / "apache.conf"),
        "-DFOREGROUND",
    ]


def _program() -> str | None:
    return find_program("apache2", ["/usr/sbin"])  # where Debian keeps it, and only root looks


def _config(folder: Path, port: int, threads: int) -> str:
    loading = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED)
    paths = ":".join([str(ROOT), *site.getsitepackages()])
    return f"""
        {loading}
        ServerName localhost
        Listen 127.0.0.1:{port}
        PidFile {folder}/apache.pid
        ErrorLog /dev/stderr
        WSGISocketPrefix {folder}/wsgi
        WSGIDaemonProcess app processes=1 threads={threads} home={ROOT} python-path={paths}
        WSGIScriptAlias / {folder}/app.wsgi process-group=app application-group=%{{GLOBAL}}
        <Location "/">
            Require all granted
        </Location>
    """


def _unprivileged() -> list[str]:
    """mod_wsgi refuses to run as root, but the tests' files may be root's alone."""
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    capabilities = ("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override")
    return [
        "setpriv",
        "--reuid",
        str(nobody.pw_uid),
        "--regid",
        str(nobody.pw_gid),
        "--clear-groups",
        *capabilities,
    ]
