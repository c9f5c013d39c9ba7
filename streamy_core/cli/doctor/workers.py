"""gunicorn's workers against the app's settings."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Final

from ...binding import HOW_TO_SHARE
from ...config import Settings
from ...delivery.slots import Slots
from .findings import Finding
from .gunicorn import Gunicorn

_THREADS: Final = "--worker-class gthread --threads 8"
_SYNC: Final = ("sync", "gthread")


def sharing(gunicorn: Gunicorn, *, shared: bool) -> Iterator[Finding]:
    """Whether several workers, or one after another, have streams of their own each."""
    if shared:
        return
    if gunicorn.workers > 1:
        yield Finding(
            "error",
            f"{gunicorn.workers} workers serve the app, and each has streams of its own",
            "the broker keeps streams in the memory of one process: clients of the other workers see nothing",
            f"gunicorn --workers 1 {_THREADS}; or {HOW_TO_SHARE}",
        )
    if gunicorn.max_requests:
        yield Finding(
            "warning",
            "streams are in the memory of a worker that max_requests replaces",
            f"after {gunicorn.max_requests:,} requests all history is gone, and each client is told of a gap",
            f"max_requests = 0; or {HOW_TO_SHARE}",
        )


def replacing(gunicorn: Gunicorn) -> Iterator[Finding]:
    """Whether `max_requests` sends all clients of all workers away at once."""
    if gunicorn.max_requests and gunicorn.workers > 1 and not gunicorn.max_requests_jitter:
        yield Finding(
            "warning",
            f"max_requests = {gunicorn.max_requests} without max_requests_jitter",
            "workers that are as busy as each other are replaced at the same time, and all clients reconnect "
            "at once; each reconnection is a request that counts, too",
            f"max_requests_jitter = {max(1, gunicorn.max_requests // 5)}",
        )


def threads(gunicorn: Gunicorn, settings: Settings) -> Iterator[Finding]:
    """Whether streams may hold all threads, or may hold none, where each holds one."""
    by_wsgi = settings.delivery == "wsgi" or gunicorn.tls or gunicorn.worker_class not in _SYNC
    if gunicorn.green or not by_wsgi:
        return
    stays = Slots.of(gunicorn.requests, settings.wsgi_slots).stays
    if gunicorn.requests == 1 and stays:
        yield Finding(
            "error",
            "one stream takes all of a worker that serves one request at a time",
            f"nobody else is answered meanwhile, and gunicorn kills a sync worker after timeout = "
            f"{gunicorn.timeout} seconds",
            f"gunicorn {_THREADS}; and leave out STREAMY_DELIVERY and STREAMY_WSGI_SLOTS",
        )
    elif stays >= gunicorn.requests:
        yield Finding(
            "error",
            f"streams may hold {stays} threads, and a worker has {gunicorn.requests}",
            "with as many clients, no other request is answered",
            f"STREAMY_WSGI_SLOTS = {gunicorn.requests // 2}",
        )
    elif not stays:
        yield Finding(
            "warning",
            "no stream may stay: clients poll",
            f"a worker serves {gunicorn.requests} request at a time, and a stream would hold it",
            f"gunicorn {_THREADS}",
        )


def detaching(gunicorn: Gunicorn, settings: Settings) -> Iterator[Finding]:
    """Whether workers are such that clients can't be detached from them."""
    if gunicorn.tls and gunicorn.worker_class in _SYNC and settings.delivery != "wsgi":
        yield Finding(
            "warning",
            "gunicorn's workers speak TLS themselves",
            "then each stream holds a thread: clients can't be detached",
            "take certfile and keyfile out of gunicorn's settings, and have a proxy in front do TLS",
        )
    if settings.delivery == "detached" and gunicorn.worker_class not in _SYNC:
        yield Finding(
            "warning",
            f"STREAMY_DELIVERY is detached, which {gunicorn.worker_class} workers don't allow",
            "clients are served by wsgi all the same",
            f"gunicorn {_THREADS}; or STREAMY_DELIVERY = 'auto'",
        )


def greenlets(gunicorn: Gunicorn) -> Iterator[Finding]:
    """Whether workers of greenlets have what they need, and are patched before the app is imported."""
    library = gunicorn.green
    if library is None:
        return
    if importlib.util.find_spec(library) is None:
        yield Finding(
            "error",
            f"gunicorn's workers need {library}, which isn't installed",
            "no worker starts",
            f"pip install {library}",
        )
    elif library == "gevent" and gunicorn.preload and not gunicorn.patched:
        yield Finding(
            "error",
            "the app is imported before gevent patches anything",
            "preload_app imports it in gunicorn's master, and workers patch later: on a lock that was made "
            "before, all requests wait for one",
            "at the top of gunicorn.conf.py: from gevent import monkey; monkey.patch_all()",
        )
