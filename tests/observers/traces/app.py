"""The app of `tests.support.app`, each of whose processes writes its spans to a file: one a line, as JSON."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from ...support.app import create_app as create_plain_app
from .spans import instrument

FOLDER = "TEST_SPANS"


def create_app() -> Flask:
    """The app: see the module."""
    provider = TracerProvider()
    file = Path(os.environ[FOLDER], f"{os.getpid()}.jsonl").open("a", encoding="utf-8")  # noqa: SIM115
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=file, formatter=_line)))
    app = create_plain_app(STREAMY_TRACES=provider)
    instrument(app, provider)
    return app


def _line(span: ReadableSpan) -> str:
    return f"{span.to_json(indent=None)}\n"
