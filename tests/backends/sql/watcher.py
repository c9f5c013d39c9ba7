"""Watches until its input is closed, and says "watching" when it does.

`python -m tests.backends.sql.watcher URL`
"""

from __future__ import annotations

import sys

from streamy_backends.sql import from_url


def main(url: str) -> None:
    with from_url(url, {}) as broker:
        broker.watch()
        print("watching", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
