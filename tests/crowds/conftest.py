"""Fixtures: a gunicorn of one's own, and a stream."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex

import pytest

from .serving import Gunicorn

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
    """Starts a gunicorn with these settings in its environment."""
    with ExitStack() as to_stop:

        def start(**settings: object) -> Gunicorn:
            gunicorn = Gunicorn(tmp_path / f"{token_hex(4)}.log", **settings)
            to_stop.callback(lambda: print(gunicorn.log()))
            to_stop.callback(gunicorn.stop)
            return gunicorn

        yield start


@pytest.fixture
def stream() -> str:
    return f"news-{token_hex(6)}"
