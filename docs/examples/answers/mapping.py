"""What a model says, as parts of the AI SDK's UI message stream, and as AG-UI's events."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

from streamy_core import RunEnd, RunOutcome

Texts = Generator[str, None, None]
Part = dict[str, Any]


class ModelFailed(Exception):
    """The model has broken off its answer."""


def texts_of_response(events: Any) -> Texts:
    """The texts of OpenAI's `responses.create(…, stream=True)`. Closes it, however it ends."""
    with closing(events):
        for event in events:
            if event.type == "response.output_text.delta":
                yield event.delta
            elif event.type == "response.failed":
                raise ModelFailed(event.response.error.message)
            elif event.type == "error":
                raise ModelFailed(event.message)


def texts_of_chat(chunks: Any) -> Texts:
    """Those of `chat.completions.create(…, stream=True)`, which many other providers have, too."""
    with closing(chunks):
        for chunk in chunks:
            for choice in chunk.choices[:1]:  # the last chunk may have none, but the usage
                if choice.delta.content:
                    yield choice.delta.content


def ui_message(texts: Texts, message_id: str) -> Iterator[Part]:
    """A message of the AI SDK, version 5 and later."""
    with closing(texts):
        yield {"type": "start", "messageId": message_id}
        yield {"type": "start-step"}
        yield {"type": "text-start", "id": "text"}
        for text in texts:
            yield {"type": "text-delta", "id": "text", "delta": text}
        yield {"type": "text-end", "id": "text"}
        yield {"type": "finish-step"}
        yield {"type": "finish"}


def ui_message_end(end: RunEnd | None) -> Iterator[Part]:
    """What is left to say when the run is over."""
    if end is None or end.outcome is RunOutcome.DONE:
        return
    if end.outcome is RunOutcome.STOPPED:
        yield {"type": "abort"}
    else:
        yield {"type": "error", "errorText": end.error or f"The answer is {end.outcome}."}


def run_started(thread: str, run: str) -> Part:
    return {"type": "RUN_STARTED", "threadId": thread, "runId": run, "protocolVersion": "1.0"}


def ag_ui_events(texts: Texts, thread: str, run: str) -> Iterator[Part]:
    """A run of AG-UI 1.0 with one message."""
    with closing(texts):
        yield run_started(thread, run)
        yield {"type": "TEXT_MESSAGE_START", "messageId": run, "role": "assistant"}
        for text in texts:
            if text:
                yield {"type": "TEXT_MESSAGE_CONTENT", "messageId": run, "delta": text}
        yield {"type": "TEXT_MESSAGE_END", "messageId": run}
        yield {"type": "RUN_FINISHED", "threadId": thread, "runId": run}


def ag_ui_end(end: RunEnd | None, seen: Iterable[str], thread: str, run: str) -> Iterator[Part]:
    """What is left to say when the run is over. seen: the types of the events that were told."""
    if end is None or end.outcome is RunOutcome.DONE or "RUN_FINISHED" in seen:
        return
    if end.outcome is RunOutcome.STOPPED:
        if "RUN_STARTED" not in seen:
            yield run_started(thread, run)
        if "TEXT_MESSAGE_START" in seen and "TEXT_MESSAGE_END" not in seen:
            yield {"type": "TEXT_MESSAGE_END", "messageId": run}
        yield {"type": "RUN_FINISHED", "threadId": thread, "runId": run, "outcome": {"type": "cancelled"}}
    else:
        yield {"type": "RUN_ERROR", "message": end.error or f"The answer is {end.outcome}."}
