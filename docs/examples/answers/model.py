"""Stands in for OpenAI's library: what it gives has the same types and fields, and costs nothing."""

import time
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

Events = Generator[Any, None, None]


def create_response(question: str) -> Events:
    """As `OpenAI().responses.create(model=…, input=question, stream=True)`."""
    response = SimpleNamespace(id="resp_1", error=None)
    yield SimpleNamespace(type="response.created", response=response)
    for word in f"You asked: {question}".split():
        if word == "fail":
            response.error = SimpleNamespace(code="server_error", message="the model is overloaded")
            yield SimpleNamespace(type="response.failed", response=response)
            return
        time.sleep(0.02)
        yield SimpleNamespace(type="response.output_text.delta", item_id="msg_1", delta=f"{word} ")
    yield SimpleNamespace(type="response.output_text.done", item_id="msg_1")
    yield SimpleNamespace(type="response.completed", response=response)


def create_chat(question: str) -> Events:
    """As `OpenAI().chat.completions.create(model=…, messages=…, stream=True)`."""
    words = [None, *(f"{word} " for word in f"You asked: {question}".split()), None]
    for word in words:
        time.sleep(0.02)
        yield SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content=word))], usage=None)
    yield SimpleNamespace(choices=[], usage=SimpleNamespace(total_tokens=len(words)))
