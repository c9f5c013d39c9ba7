"""The commands, as processes, of an app that processes can share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from ..support.command import Command

__all__ = ["APP", "STREAMY", "Command", "flask_streamy"]

APP: Final = """\
from pathlib import Path

from tests.support.file_broker import FileBroker
from flask import Flask

from streamy_core import StreamManager

app = Flask(__name__)
sse = StreamManager(app, broker=FileBroker(Path(__file__).with_name("log")))
"""

STREAMY: Final = str(Path(sys.executable).with_name("streamy"))


def flask_streamy(*args: str, app: str = "shop") -> list[str]:
    """`flask streamy …` for an app, that in `shop.py` unless it is named."""
    return [sys.executable, "-m", "flask", "--app", app, "streamy", *args]
