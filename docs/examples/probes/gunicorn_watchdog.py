"""gunicorn's settings for a service of systemd's: its worker tells the watchdog that it is live."""

import os
import socket
import threading
import time
from typing import Any

bind = "127.0.0.1:8000"
worker_class = "gthread"
workers = 1  # of several, any one that is live would satisfy the watchdog
threads = 8


def post_worker_init(worker: Any) -> None:
    """Called by gunicorn in a worker that has loaded the app."""
    period = int(os.environ.get("WATCHDOG_USEC", 0)) / 2_000_000
    if period:
        app = worker.app.wsgi()
        threading.Thread(target=feed_watchdog, args=(app, period), daemon=True).start()


def feed_watchdog(app: Any, period: float) -> None:
    """As long as `/streamy/live` says so, tell systemd that this process is live."""
    client = app.test_client()
    while True:
        if client.get("/streamy/live").status_code == 200:
            notify("WATCHDOG=1")
        time.sleep(period)


def notify(state: str) -> None:
    """As sd_notify(3) does: a datagram to the socket that systemd names."""
    address = os.environ["NOTIFY_SOCKET"]
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_systemd:
        to_systemd.sendto(state.encode(), address)
