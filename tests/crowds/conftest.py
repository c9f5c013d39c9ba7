"""Fixtures: a gunicorn of one's own."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import Final

import pytest

from ..support.app_server import AppServer
from ..support.ports import free_port
from ..support.web_server import Pair

THREADS: Final = 4


class Gunicorn(AppServer):
    """gunicorn with one worker and four threads, always on the same port."""

    def __init__(self, log: Path, delivery: str, **settings: object) -> None:
        app = f"{__package__}.app:create_app()"
        pair = Pair("gthread", delivery, THREADS)
        super().__init__(log, pair, app=app, port=free_port(), settings=settings)

    def is_behind(self) -> bool:
        """Whether a client is."""
        return bool(json.loads(self.ask("/behind")))


Serving = Callable[..., Gunicorn]


@pytest.fixture(scope="package", autouse=True)
def _many_descriptors() -> Iterator[None]:
    """As many as are allowed, here and in what is started from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """Starts a gunicorn with this delivery, and with these settings in its environment."""
    with ExitStack() as to_stop:

        def start(delivery: str, **settings: object) -> Gunicorn:
            gunicorn = Gunicorn(tmp_path / f"{token_hex(4)}.log", delivery, **settings)
            to_stop.callback(lambda: print(gunicorn.log()[-5_000:]))
            return to_stop.enter_context(gunicorn.start())

        yield start
