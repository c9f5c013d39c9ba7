"""Others' clients in Python: `python -m tests.browser.clients.python '[["httpx-sse", "http://…"], …]'`.

Writes a line for each event: the client and the data, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import aiohttp
import httpx
import requests
from aiosseclient import aiosseclient
from httpx_sse import connect_sse
from ld_eventsource import SSEClient as LaunchDarkly  # type: ignore[import-untyped]
from ld_eventsource.config import ErrorStrategy  # type: ignore[import-untyped]
from ld_eventsource.errors import HTTPStatusError  # type: ignore[import-untyped]
from sseclient import SSEClient  # type: ignore[import-untyped]

Hear = Callable[[str], object]

REFUSED: Final = (204, 401, 403)


def with_httpx_sse(url: str, hear: Hear) -> None:
    with httpx.Client(timeout=None) as client, connect_sse(client, "GET", url) as source:
        for event in source.iter_sse():
            if event.event == "message" and event.data:
                hear(event.data)


def with_httpx_sse_again(url: str, hear: Hear) -> None:
    headers: dict[str, str] = {}
    delay = 1.0
    with httpx.Client(timeout=None) as client:
        while True:
            with (
                suppress(httpx.TransportError),
                connect_sse(client, "GET", url, headers=headers) as source,
            ):
                if source.response.status_code in REFUSED:
                    return
                for event in source.iter_sse():
                    headers["Last-Event-ID"] = event.id
                    delay = int(event.retry) / 1000 if event.retry is not None else delay
                    if event.event == "message" and event.data:
                        hear(event.data)
            time.sleep(delay)


def with_aiosseclient(url: str, hear: Hear) -> None:
    async def read() -> None:
        async for event in aiosseclient(url):
            if event.event == "message" and event.data:
                hear(event.data)

    asyncio.run(read())


def with_aiosseclient_again(url: str, hear: Hear) -> None:
    async def read() -> None:
        last = None
        while True:
            try:
                async for event in aiosseclient(url, last_id=last, raise_for_status=True):
                    last = event.id or last
                    if event.event == "message" and event.data:
                        hear(event.data)
                    elif event.event == "streamy.end":
                        return
            except aiohttp.ClientResponseError as error:
                if error.status in REFUSED:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(1)

    asyncio.run(read())


def with_sseclient_py(url: str, hear: Hear) -> None:
    with requests.get(url, stream=True) as response:
        for event in SSEClient(response).events():
            if event.event == "message":
                hear(event.data)


def with_sseclient_py_again(url: str, hear: Hear) -> None:
    headers: dict[str, str] = {}
    delay = 1.0
    while True:
        with (
            suppress(requests.RequestException),
            requests.get(url, stream=True, headers=headers) as response,
        ):
            if response.status_code in REFUSED:
                return
            for event in SSEClient(response).events():
                headers["Last-Event-ID"] = event.id
                delay = int(event.retry) / 1000 if event.retry is not None else delay
                if event.event == "message":
                    hear(event.data)
        time.sleep(delay)


def with_requests(url: str, hear: Hear) -> None:
    with requests.get(url, stream=True) as response:
        for data in _unnamed(response.iter_lines(decode_unicode=True)):
            hear(data)


def with_requests_cured(url: str, hear: Hear) -> None:
    with requests.get(url, stream=True) as response:
        for data in _unnamed(line.decode() for line in response.iter_lines(delimiter=b"\n")):
            hear(data)


def with_launchdarkly(url: str, hear: Hear) -> None:
    with LaunchDarkly(url, error_strategy=ErrorStrategy.always_continue()) as client:
        for event in client.events:
            if event.event == "message":
                hear(event.data)


def with_launchdarkly_cured(url: str, hear: Hear) -> None:
    def strategy(error: Exception | None) -> tuple[Any, ErrorStrategy]:
        refused = isinstance(error, HTTPStatusError) and error.status in REFUSED
        return (ErrorStrategy.FAIL if refused else ErrorStrategy.CONTINUE), ErrorStrategy.from_lambda(
            strategy
        )

    with LaunchDarkly(url, error_strategy=ErrorStrategy.from_lambda(strategy)) as client:
        for event in client.events:
            if event.event == "message":
                hear(event.data)
            elif event.event == "streamy.end":
                return


def _unnamed(lines: Iterator[str]) -> Iterator[str]:
    """The data of events without a name, as one would read it by hand."""
    name = data = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
        elif not line:
            if data and not name:
                yield data
            name = data = ""


CLIENTS: Final = {
    "httpx-sse": with_httpx_sse,
    "httpx-sse-cured": with_httpx_sse_again,
    "aiosseclient": with_aiosseclient,
    "aiosseclient-cured": with_aiosseclient_again,
    "sseclient-py": with_sseclient_py,
    "sseclient-py-cured": with_sseclient_py_again,
    "requests": with_requests,
    "requests-cured": with_requests_cured,
    "launchdarkly": with_launchdarkly,
    "launchdarkly-cured": with_launchdarkly_cured,
}


def run(name: str, url: str) -> None:
    try:
        # In one write each: the others write, too.
        CLIENTS[name](url, lambda data: os.write(1, f"{json.dumps([name, data])}\n".encode()))
    except Exception as error:  # noqa: BLE001 - each fails in its own way, alone
        print(f"{name} ends: {error!r}", file=sys.stderr)


if __name__ == "__main__":
    threads = [threading.Thread(target=run, args=pair) for pair in json.loads(sys.argv[1])]
    for thread in threads:
        thread.start()
