"""Runs the app under a server that has no command of its own: `python -m servers.run werkzeug|waitress`.

Prints the address once the port is bound, in gunicorn's words.
"""

from __future__ import annotations

import sys

from .app import create_app


def werkzeug() -> None:
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, create_app(), threaded=True)
    print(f"Listening at: http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()


def waitress(threads: int) -> None:
    from waitress import create_server  # type: ignore[import-untyped]

    server = create_server(create_app(), host="127.0.0.1", port=0, threads=threads)
    print(f"Listening at: http://127.0.0.1:{server.effective_port}", flush=True)
    server.run()


if __name__ == "__main__":
    if sys.argv[1] == "werkzeug":
        werkzeug()
    else:
        waitress(int(sys.argv[2]))
