"""`flask streamy doctor` and `streamy doctor`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from flask import Flask, current_app, has_app_context
from flask.cli import ScriptInfo

from ...binding import Binding
from ...errors import ConfigError, StreamyError
from ...urls import scheme_of
from ..bound import binding_of, chosen_manager
from . import process, workers
from .broker import of_broker
from .findings import Check, Finding, cure_in, run_checks
from .gunicorn import Gunicorn, read_gunicorn
from .report import report
from .web import Visit, of_web

Command = Callable[..., None]

_WEB: Final = ("http", "https")


def _headers(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter("a header is 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers


_OPTIONS: Final = (
    click.option(
        "--header",
        "headers",
        metavar="HEADER",
        multiple=True,
        callback=_headers,
        help="Sent to the running URL, such as 'Cookie: session=…'. May be given several times.",
    ),
    click.option("--origin", metavar="ORIGIN", help="Of a page elsewhere that is to read the stream."),
    click.option(
        "--patience",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        default=0.0,
        help="Listen for so long whether the connection lasts and keep-alives come.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Write an array of JSON objects."),
    click.option("--strict", is_flag=True, help="End with 1 for a warning, too."),
)


def _with_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("url")
@_with_options
def doctor(url: str, headers: Mapping[str, str], as_json: bool, strict: bool, **how: Any) -> None:
    """Say what will go wrong at URL, and what mends it.

    URL is that of a running stream, such as https://shop.example/events, or of a broker. Ends with 1 if there
    is an error.
    """
    if scheme_of(url) in _WEB:
        checks = [("the running URL", partial(of_web, Visit(url, headers, **how)))]
    else:
        checks = [("the broker", partial(of_broker, url))]
    _end(run_checks(checks), as_json, strict)


@click.command("doctor")
@click.option("--url", metavar="URL", help="Of a running stream of the app's, which is looked at, too.")
@click.option(
    "--clients", type=click.IntRange(min=1), metavar="N", help="How many are expected at one process."
)
@click.option(
    "--gunicorn",
    "arguments",
    metavar="ARGUMENTS",
    help="What gunicorn is started with, such as '--workers 4', beside its file and its variables.",
)
@_with_options
def doctor_of_app(
    url: str | None,
    clients: int | None,
    arguments: str | None,
    headers: Mapping[str, str],
    as_json: bool,
    strict: bool,
    **how: Any,
) -> None:
    """Say what will go wrong with this app, and what mends it.

    Looks at its settings, its broker, how gunicorn is to serve it, and at URL. Ends with 1 if there is an
    error.
    """
    app = _Started()
    found = app.start(click.get_current_context().ensure_object(ScriptInfo))
    checks: list[tuple[str, Check]] = [
        ("the app", lambda: found),
        ("the broker", app.broker),
        ("how the app is served", partial(app.served, clients, _split(arguments))),
    ]
    if url is not None:
        checks.append(("the running URL", partial(of_web, Visit(url, headers, **how))))
    _end(run_checks(checks), as_json, strict)


class _Started:
    """The app, if it starts, and what is looked at there."""

    def __init__(self) -> None:
        self._binding: Binding | None = None

    def start(self, script: ScriptInfo) -> list[Finding]:
        """What keeps it from starting, if anything does. Raises ClickException where there is no app."""
        try:
            app = _app_of(script)
            with app.app_context():
                self._binding = binding_of(chosen_manager())
        except StreamyError as error:
            return [Finding("error", "the app doesn't start", str(error), cure_in(str(error)))]
        except click.ClickException:
            raise
        except Exception as error:  # noqa: BLE001 - an app may fail as it likes
            cure = "flask routes, to see the whole error"
            return [Finding("error", "the app doesn't start", type(error).__name__, cure)]
        return []

    def broker(self) -> Iterator[Finding]:
        """The broker of its settings."""
        if self._binding is not None:
            settings, by_url = self._binding.settings, self._binding.engine.owns_broker
            given = settings.broker_url if by_url else self._binding.broker
            yield from of_broker(given, settings.broker_options)

    def served(self, clients: int | None, arguments: list[str] | None) -> Iterator[Finding]:
        """The process, and gunicorn's settings, against the app's."""
        if self._binding is None:
            return
        settings, shared = self._binding.settings, self._binding.broker.shared
        gunicorn: Gunicorn | None = None
        try:
            gunicorn = read_gunicorn(arguments, Path.cwd(), os.environ)
        except ConfigError as error:
            yield Finding("error", "gunicorn's settings can't be read", str(error), cure_in(str(error)))
        yield from process.keep_alives(settings)
        yield from process.descriptors(settings, clients, gunicorn)
        yield from process.greenlets()
        if gunicorn is not None:
            yield from workers.sharing(gunicorn, shared=shared)
        if gunicorn is not None and gunicorn.complete:
            yield from workers.replacing(gunicorn)
            yield from workers.threads(gunicorn, settings)
            yield from workers.detaching(gunicorn, settings)
            yield from workers.greenlets(gunicorn)


def _app_of(script: ScriptInfo) -> Flask:
    """The current app, or else the one that Flask finds. Raises whatever that raises as it starts."""
    proxy: Any = current_app
    app: Flask = proxy._get_current_object() if has_app_context() else script.load_app()
    return app


def _split(arguments: str | None) -> list[str] | None:
    try:
        return None if arguments is None else shlex.split(arguments)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--gunicorn") from error


def _end(findings: list[Finding], as_json: bool, strict: bool) -> None:
    click.get_current_context().exit(report(findings, as_json=as_json, strict=strict))
