"""A script outside of Flask that publishes so many events.

`python -m tests.backends.promises.publish URL STREAM COUNT`
"""

from __future__ import annotations

import sys

from streamy_core import StreamManager


def main(url: str, stream: str, count: str) -> None:
    with StreamManager(broker=url) as sse:
        for number in range(int(count)):
            sse.send_event(stream, f"script {number}")


if __name__ == "__main__":
    main(*sys.argv[1:])
