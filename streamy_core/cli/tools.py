"""`streamy backends` and `streamy demo`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ..config import DEFAULT_URL
from ..plugins import Backend, find_backends
from .shell import INTERRUPTED, say_table


@click.command()
def backends() -> None:
    """List the installed backends.

    Plug-ins that can't be loaded are listed too, with the reason.
    """
    found = find_backends()
    say_table(
        ("SCHEME", "DISTRIBUTION", "VERSION", "STATE"),
        [(each.scheme, each.distribution, each.version, _state(each, found)) for each in found],
    )


@click.command()
@click.option(
    "--follow",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Show the lines of this file as they are written.",
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65_535), default=8765, show_default=True)
@click.option("--no-browser", is_flag=True, help="Open no browser.")
@click.option("--broker", metavar="URL", default=DEFAULT_URL, show_default=True, help="The broker to use.")
def demo(follow: Path | None, host: str, port: int, no_browser: bool, broker: str) -> None:
    """Serve a page that shows live streams."""
    try:
        from ..demo import app
    except ImportError as error:
        raise click.ClickException(f"{error}; the demo needs: pip install 'streamy-sse[demo]'") from error
    app.run(host=host, port=port, follow=follow, open_browser=not no_browser, broker=broker)
    # It serves until Ctrl-C, and returns.
    click.get_current_context().exit(INTERRUPTED)


def _state(backend: Backend, found: Sequence[Backend]) -> str:
    if backend.problem:
        return f"broken: {backend.problem}"
    rivals = [
        f"{other.distribution} {other.version}"
        for other in found
        if other.scheme == backend.scheme and other is not backend
    ]
    if rivals:
        return f"conflict: also claimed by {' and '.join(rivals)}; uninstall one of them"
    return "ok"
