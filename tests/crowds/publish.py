"""Publishes 1, 2, 3, … from a process of its own: `python -m tests.crowds.publish FILE STREAM RATE`.

Goes on until its input is closed, and then prints the last number.
"""

from __future__ import annotations

import select
import sys
from pathlib import Path

from streamy_core import StreamManager

from ..support.file_broker import FileBroker


def main(file: str, stream: str, rate: str) -> None:
    sse = StreamManager(broker=FileBroker(Path(file)))
    number = 0
    while not select.select([sys.stdin], [], [], 1 / float(rate))[0]:
        number += 1
        sse.send_event(stream, str(number))
    print(number)


if __name__ == "__main__":
    main(*sys.argv[1:])
