"""Serves an app by a server that has no command of its own, or not one that fits.

`python -m tests.support.serve KIND MODULE:CREATE_APP() THREADS`, with a KIND of `SERVERS`. The address
is printed once the port is bound, or chosen, in gunicorn's words.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from flask import Flask

from . import apache
from .ports import free_port

Serve = Callable[[str, int], None]


def main() -> None:
    _, kind, app, threads = sys.argv
    SERVERS[kind](app, int(threads))


def load(app: str) -> Flask:
    module, _, name = app.partition(":")
    found = getattr(import_module(module), name.removesuffix("()"))
    loaded = found() if name.endswith("()") else found
    assert isinstance(loaded, Flask)
    return loaded


def listens(port: int) -> int:
    print(f"Listening at: http://127.0.0.1:{port}", flush=True)
    return port


def listener() -> socket.socket:
    """One that is bound, and listens."""
    made = socket.create_server(("127.0.0.1", 0))
    listens(made.getsockname()[1])
    return made


def werkzeug(app: str, threads: int) -> None:
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, load(app), threaded=threads > 1)
    listens(server.port)
    server.serve_forever()


def wsgiref(app: str, _: int) -> None:
    from wsgiref.simple_server import make_server

    server = make_server("127.0.0.1", 0, load(app))
    listens(server.server_port)
    server.serve_forever()


def waitress(app: str, threads: int) -> None:
    from waitress import create_server  # type: ignore[import-untyped]

    server = create_server(load(app), host="127.0.0.1", port=0, threads=threads)
    listens(server.effective_port)
    server.run()


def cheroot(app: str, threads: int) -> None:
    from cheroot.wsgi import Server  # type: ignore[import-untyped]

    server = Server(("127.0.0.1", 0), load(app), numthreads=threads)
    server.prepare()
    listens(server.bind_addr[1])
    server.serve()


def gevent(app: str, threads: int) -> None:
    """threads: 1 for none that are patched."""
    if threads > 1:
        import gevent.monkey

        gevent.monkey.patch_all()
    from gevent.pywsgi import WSGIServer

    server = WSGIServer(("127.0.0.1", 0), load(app))
    server.start()
    listens(server.server_port)
    server.serve_forever()


def eventlet(app: str, threads: int) -> None:
    """threads: 1 for none that are patched."""
    import eventlet  # type: ignore[import-untyped]

    if threads > 1:
        eventlet.monkey_patch()
    import eventlet.wsgi  # type: ignore[import-untyped]

    listening = eventlet.listen(("127.0.0.1", 0))
    listens(listening.getsockname()[1])
    eventlet.wsgi.server(listening, load(app))


def a2wsgi(app: str, threads: int) -> None:
    _uvicorn(wrapped(app, threads))


def gunicorn_asgi(app: str, threads: int) -> None:
    options = [
        "--worker-class",
        "asgi",
        "--graceful-timeout",
        "2",
        "--bind",
        f"127.0.0.1:{listens(free_port())}",
    ]
    _become("gunicorn", [*options, f"tests.support.serve:wrapped({app!r}, {threads})"])


def wrapped(app: str, threads: int) -> object:
    """The app, for an ASGI server."""
    from a2wsgi import WSGIMiddleware  # type: ignore[import-untyped]

    return WSGIMiddleware(load(app), workers=threads)


def asgiref(app: str, _: int) -> None:
    from asgiref.wsgi import WsgiToAsgi  # type: ignore[import-untyped]

    _uvicorn(WsgiToAsgi(load(app)))


def _uvicorn(app: object) -> None:
    import uvicorn

    with listener() as listening:
        uvicorn.Server(uvicorn.Config(app)).run(sockets=[listening])  # type: ignore[arg-type]


def granian(app: str, threads: int) -> None:
    options = ["--interface", "wsgi", "--factory", "--blocking-threads", str(threads)]
    options += ["--workers-kill-timeout", "2"]  # else it waits for its streams
    _become("granian", [*options, "--port", str(listens(free_port())), app.removesuffix("()")])


def uwsgi(app: str, threads: int) -> None:
    """threads: 1 for none at all, as it is by default."""
    options = ["--http-socket", f"127.0.0.1:{listens(free_port())}", "--need-app", "--die-on-term"]
    _become("uwsgi", [*options, *(["--threads", str(threads)] if threads > 1 else []), "--module", app])


def mod_wsgi(app: str, threads: int) -> None:
    started = apache.command(app.removesuffix("()"), listens(free_port()), threads)
    os.execvp(started[0], started)


def flask_run(app: str, threads: int) -> None:
    from flask.cli import main

    # A shell's background job, as this may be, is started with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    without = ["--without-threads"] if threads == 1 else []
    sys.argv = ["flask", "--app", app.removesuffix("()"), "run", "--port", "0", *without]
    main()


def _become(program: str, arguments: Sequence[str]) -> None:
    path = Path(sys.executable).with_name(program)
    os.execv(path, [str(path), *arguments])


SERVERS: Final[dict[str, Serve]] = {
    "werkzeug": werkzeug,
    "wsgiref": wsgiref,
    "waitress": waitress,
    "cheroot": cheroot,
    "gevent.pywsgi": gevent,
    "eventlet": eventlet,
    "a2wsgi": a2wsgi,
    "gunicorn asgi": gunicorn_asgi,
    "asgiref": asgiref,
    "granian": granian,
    "uwsgi": uwsgi,
    "mod_wsgi": mod_wsgi,
    "flask run": flask_run,
}

if __name__ == "__main__":
    main()
