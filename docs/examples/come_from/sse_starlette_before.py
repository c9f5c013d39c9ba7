"""News, by sse-starlette."""

import asyncio
import json
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

listeners: set[asyncio.Queue[str]] = set()


async def stream(request: Request) -> EventSourceResponse:
    async def events() -> AsyncIterator[dict[str, str]]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        listeners.add(queue)
        try:
            while True:
                yield {"event": "news", "data": await queue.get()}
        finally:
            listeners.discard(queue)

    return EventSourceResponse(events(), ping=15)


async def send(request: Request) -> PlainTextResponse:
    text = (await request.body()).decode()
    for queue in listeners:
        queue.put_nowait(json.dumps({"text": text}))
    return PlainTextResponse("sent\n")


app = Starlette(routes=[Route("/stream", stream), Route("/send", send, methods=["POST"])])
