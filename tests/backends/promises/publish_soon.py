"""A script that publishes so many events by `send_soon`, closes nothing, and ends.

`python -m tests.backends.promises.publish_soon URL STREAM COUNT FLUSH_TIMEOUT`

It writes "queued" before it ends, and goes on when its input has a line or its end.
"""

from __future__ import annotations

import logging
import sys

from streamy_core import StreamManager


def main(url: str, stream: str, count: str, flush_timeout: str) -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.ERROR)
    sse = StreamManager(broker=url, outbox_flush_timeout=float(flush_timeout))
    for number in range(int(count)):
        sse.send_soon(stream, str(number))
    print("queued", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
