"""The floor: an epoll loop that does nothing but one `write` per client and event.

Started by the bench as a process of its own. `GET /stream` takes a client in, `GET /publish?…`
publishes, `GET /hello` answers.
"""

from __future__ import annotations

import select
import socket
import time
from urllib.parse import parse_qs, urlsplit

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: hello\n\n"


def main() -> None:
    """Serve on a port that is printed, until killed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    print("Listening at: http://{}:{}".format(*listener.getsockname()), flush=True)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    fresh: dict[int, socket.socket] = {}
    clients: dict[int, socket.socket] = {}
    due: list[float] = []
    number = 0
    while True:
        timeout = max(0.0, due[-1] - time.monotonic()) if due else -1
        for fd, _ in poll.poll(timeout):
            if fd == listener.fileno():
                client, _ = listener.accept()
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                fresh[client.fileno()] = client
                poll.register(client, select.EPOLLIN)
            elif fd in fresh:
                client = fresh.pop(fd)
                path = client.recv(4096).split(b" ")[1].decode()
                if path.startswith("/stream"):
                    client.send(HEAD)
                    clients[fd] = client
                else:
                    due = plan(path, due)
                    client.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                    poll.unregister(fd)
                    client.close()
            else:
                poll.unregister(fd)
                clients.pop(fd).close()
        while due and due[-1] <= time.monotonic():
            due.pop()
            number += 1
            frame = b"id: aaaaa.%06d.aaa\ndata: %s\n\n" % (number, payload().encode())
            for client in clients.values():
                client.send(frame)


def payload() -> str:
    """About 70 bytes, of which the first 20 are the time."""
    return f"{time.monotonic():020.6f}{'x' * 50}"


def plan(path: str, due: list[float]) -> list[float]:
    """The times at which to publish, last first."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
    if "n" not in query:
        return due
    start, rate = time.monotonic(), float(query["rate"])
    return [start + i / rate for i in range(int(query["n"]))][::-1]


if __name__ == "__main__":
    main()
