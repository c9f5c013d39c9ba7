"""`streamy new-broker`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Final, NamedTuple, Self

import click

from ..plugins import find_backends
from .shell import say

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_.]+[A-Za-z0-9]+)*")
"""What can be a distribution, a module and, as it begins with a letter, a URL's scheme."""

_OURS: Final = frozenset({"backends", "core", "sse"})
"""streamy_backends, streamy_core and streamy-sse are Streamy itself."""

_TEMPLATE: Final = "skeleton"
"""The folder of the template, which is a distribution of this name itself."""


class Names(NamedTuple):
    """What a new plug-in is called, in its various places."""

    scheme: str
    package: str
    title: str

    @classmethod
    def of(cls, name: str) -> Self:
        """Those of `streamy-acme` and of `acme`, which are the same. Raises BadParameter."""
        if not _NAME.fullmatch(name):
            raise click.BadParameter(
                f"{name!r} can't be the name of a package: it takes letters, digits and single hyphens, and "
                "begins with a letter, as streamy-acme does"
            )
        scheme = re.sub(r"[-_.]+", "-", name).lower().removeprefix("streamy-")
        if scheme in _OURS:
            raise click.BadParameter(f"streamy-{scheme} is a part of Streamy itself: choose another name")
        if not scheme[0].isalpha():
            raise click.BadParameter(f"a URL's scheme begins with a letter, and {scheme!r} doesn't")
        title = "".join(part.capitalize() for part in scheme.split("-")).removesuffix("Broker")
        return cls(scheme, f"streamy_{scheme.replace('-', '_')}", title or "My")

    def put_into(self, text: str) -> str:
        """A text, or a path, of the template, with these names in place of its own."""
        text = text.replace(f"streamy_{_TEMPLATE}", self.package)
        return text.replace(_TEMPLATE, self.scheme).replace(_TEMPLATE.capitalize(), self.title)


@click.command("new-broker")
@click.argument("name")
def new_broker(name: str) -> None:
    """Write a broker's distribution into ./NAME, to be filled in.

    It is the plug-in, its tests, a README and a recipe for CI. The tests say what is to be written.
    """
    names = Names.of(name)
    _refuse_a_scheme_that_is_taken(names.scheme)
    folder = Path(name)
    try:
        folder.mkdir()
        for path, text in _template():
            target = folder / names.put_into(str(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(names.put_into(text), "utf-8", newline="\n")
    except FileExistsError as error:
        raise click.ClickException(
            f"{name} is there already, and stays as it is: choose another name"
        ) from error
    except OSError as error:
        raise click.ClickException(f"{name} can't be written: {error}") from error
    say(f"{name} has the broker for {names.scheme}://, to be written. What there is to do:\n")
    for line in (f"cd {name}", 'pip install -e ".[testing]"', "python -m pytest"):
        say(f"    {line}")


def _refuse_a_scheme_that_is_taken(scheme: str) -> None:
    for backend in find_backends():
        if backend.scheme == scheme:
            raise click.BadParameter(
                f"{scheme}:// is {backend.distribution}'s already, which is installed: choose another name"
            )


def _template() -> Iterator[tuple[PurePath, str]]:
    """The files of the template: their paths in its folder, and what they hold."""
    folder = Path(__file__).with_name(_TEMPLATE)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder), path.read_text("utf-8")
