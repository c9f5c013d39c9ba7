"""`python -m tests.sql.publish URL STREAM NAME COUNT` publishes "NAME 0", "NAME 1" … and prints their ids."""

from __future__ import annotations

import sys

from streamy_core import StreamManager
from streamy_core.strategies import FixedDelay


def main(url: str, stream: str, name: str, count: str) -> None:
    with StreamManager(broker=url, retry=FixedDelay(0.05, retries=100)) as sse:
        for number in range(int(count)):
            print(sse.send_event(stream, f"{name} {number}"), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
