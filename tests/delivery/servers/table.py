"""What is known of each server, and what a page of the docs shows: each row is tried by `test_table`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from ...support.apache import need_apache
from ...support.requirements import go_without
from ...support.web_server import Pair

DETACHED: Final = "detached: no thread"
HALF: Final = "wsgi: at most half of its threads, others poll"
ANY: Final = "wsgi: a greenlet each, as many as its pool has"
POOL: Final = "wsgi: a greenlet each, at most half of `worker_connections`, others poll"
POLLS: Final = "clients poll: no thread"
UNKNOWN: Final = "wsgi: a thread each, and a warning"


class Row(NamedTuple):
    """shown: the server as the page names it. how: it delivers. advice: what to set.

    stops: seconds in which it does while streams are open.
    """

    shown: str
    server: str
    distribution: str
    threads: int
    how: str
    advice: str = ""
    stops: float = 5.0

    @property
    def pair(self) -> Pair:
        return Pair(self.server, "auto", threads=self.threads)

    def __str__(self) -> str:
        return f"{self.server}-{self.threads}"

    @property
    def is_live(self) -> bool:
        """Whether a client is sent events as they come."""
        return self.how != POLLS


ROWS: Final = (
    Row("gunicorn, `gthread`", "gthread", "gunicorn", 4, DETACHED),
    Row("gunicorn, `sync`", "sync", "gunicorn", 1, DETACHED),
    Row("gunicorn, `gevent`", "gevent", "gunicorn", 4, POOL, "more `worker_connections`"),
    Row("`flask run`", "flask run", "werkzeug", 4, DETACHED),
    Row("`flask run --without-threads`", "flask run", "werkzeug", 1, DETACHED),
    Row("Werkzeug's `make_server`", "werkzeug", "werkzeug", 4, DETACHED),
    Row("uWSGI with `threads`", "uwsgi", "uwsgi", 4, DETACHED),
    Row("uWSGI as it is by default", "uwsgi", "uwsgi", 1, POLLS, "`enable-threads = true`"),
    Row("waitress", "waitress", "waitress", 4, HALF, "more `threads`"),
    Row("cheroot", "cheroot", "cheroot", 4, HALF, "more `numthreads`"),
    Row("`gevent.pywsgi`", "gevent.pywsgi", "gevent", 4, ANY),
    Row("the same, not patched", "gevent.pywsgi", "gevent", 1, POLLS, "`gevent.monkey.patch_all()`"),
    Row("`eventlet.wsgi`", "eventlet", "eventlet", 4, ANY),
    Row("the same, not patched", "eventlet", "eventlet", 1, POLLS, "`eventlet.monkey_patch()`"),
    Row("Apache's mod_wsgi", "mod_wsgi", "", 4, HALF, "more `threads`", stops=20.0),
    Row("the same with `threads=1`", "mod_wsgi", "", 1, POLLS, "more `threads`"),
    Row(
        "Granian",
        "granian",
        "granian",
        4,
        UNKNOWN,
        "`STREAMY_WSGI_SLOTS`: half of `--blocking-threads`; `--workers-kill-timeout`",
    ),
    Row("a2wsgi under uvicorn", "a2wsgi", "a2wsgi", 4, POLLS, "a WSGI server"),
    Row("the same under gunicorn, `asgi`", "gunicorn asgi", "gunicorn", 4, POLLS, "`gthread`"),
    Row("asgiref's `WsgiToAsgi` under uvicorn", "asgiref", "asgiref", 1, POLLS, "a WSGI server"),
    Row("`wsgiref`", "wsgiref", "", 1, POLLS, "another server"),
)


def installed(row: Row) -> Row:
    """The row, if its server is here."""
    if row.server == "uwsgi" and not Path(sys.executable).with_name("uwsgi").exists():
        go_without("uWSGI is missing: pip install uwsgi")
    if row.server == "mod_wsgi":
        need_apache()
    return row


def lines() -> list[str]:
    """The page's table, in Markdown."""
    head = ["| server | tried with | delivery | set |", "|---|---|---|---|"]
    return [*head, *(f"| {row.shown} | {_version(row)} | {row.how} | {row.advice} |" for row in ROWS)]


def _version(row: Row) -> str:
    own = "Debian's" if row.server == "mod_wsgi" else "Python's own"
    return version(row.distribution) if row.distribution else own


if __name__ == "__main__":
    print("\n".join(lines()))
