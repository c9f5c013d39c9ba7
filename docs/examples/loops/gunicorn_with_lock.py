"""gunicorn's config for `with_lock`: `gunicorn --config gunicorn_with_lock.py with_lock:app`."""

from typing import Any


def post_worker_init(worker: Any) -> None:
    from with_lock import start

    start()
