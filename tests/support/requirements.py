"""What a test needs that may be missing here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import pytest


def go_without(reason: str) -> NoReturn:
    """Skip for want of a part, saying how to get it; but fail in CI, where nothing may go untested."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def find_program(name: str, more: Iterable[str | Path] = ()) -> str | None:
    """The program of this name on PATH, else in one of these folders."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, more)]))
