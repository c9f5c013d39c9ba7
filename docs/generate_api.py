"""Writes the API page from docstrings: `python docs/generate_api.py`; `--check` says whether it is stale.

As plain Markdown, so that the page can be read wherever the repository is.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "reference" / "api.md"

MODULES = (
    "streamy_core",
    "streamy_core.strategies",
    "streamy_core.signals",
    "streamy_core.observers",
    "streamy_core.broker",
    "streamy_core.options",
    "streamy_core.plugins",
    "streamy_core.testing",
    "streamy_backends.sql",
)
"""Where public names are imported from, by those who need them."""

# "name:   what it is", which may go on in lines that are indented further.
_TERM = re.compile(r"(?P<names>[A-Za-z_]+(?:, [A-Za-z_]+)*):\s+(?P<text>\S.*)")


def page() -> str:
    """The whole page."""
    parts = ["# API\n\nWritten from the docstrings by `python docs/generate_api.py`.\n"]
    shown: set[int] = set()
    for name in MODULES:
        module = importlib.import_module(name)
        parts.append(f"\n## `{name}`\n\n{markdown(inspect.getdoc(module) or '')}\n")
        parts += [entry(name, item, getattr(module, item), shown) for item in public(module)]
    return "".join(parts)


def public(module: Any) -> list[str]:
    """The module's public names, in the order of the alphabet."""
    names = getattr(module, "__all__", None)
    if names is None:
        own = [name for name in vars(module) if not name.startswith("_")]
        names = [name for name in own if getattr(vars(module)[name], "__module__", "") == module.__name__]
        names += [name for name in own if type(vars(module)[name]).__name__ == "NamedSignal"]
    return sorted(set(names), key=str.lower)


def entry(module: str, name: str, thing: Any, shown: set[int]) -> str:
    """One name: its signature and docstring, and for a class those of its public methods."""
    heading = f"\n### `{module}.{name}`\n\n"
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        value = thing if isinstance(thing, str | int | float) else type(thing).__name__
        return f"{heading}`{value!r}`\n" if isinstance(value, str) else f"{heading}`{value}`\n"
    if id(thing) in shown:
        home = thing.__module__
        return f"{heading}See above (`{home}`).\n"
    shown.add(id(thing))
    text = heading + described(name, thing)
    if inspect.isclass(thing):
        text += "".join(members(thing))
    return text


def described(name: str, thing: Any) -> str:
    """The signature, as Python, and the docstring."""
    return f"```python\n{signature(name, thing)}\n```\n\n{markdown(inspect.getdoc(thing) or '')}\n"


def signature(name: str, thing: Any) -> str:
    """As one would write it."""
    kind = "class " if inspect.isclass(thing) else ""
    if inspect.isclass(thing) and issubclass(thing, Enum | BaseException):
        return f"class {name}({thing.__bases__[0].__name__})"
    try:
        found = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return f"{kind}{name}"
    # What has no form that one could write, like a function that is a default.
    unwritable = r"<(?:[^<>]|<\w+>)* at 0x[0-9a-f]+>|<factory>"
    return re.sub(unwritable, "...", f"{kind}{name}{found}").replace("'", "")


def members(kind: type) -> Iterator[str]:
    """The public methods and properties that the class itself documents, and an enum's members."""
    if issubclass(kind, Enum):
        yield "\n" + "".join(f"- `{item.name}`: `{item.value!r}`\n" for item in kind)
        return
    for name, item in vars(kind).items():
        doc = inspect.getdoc(item)
        if name.startswith("_") or not doc or not (inspect.isroutine(item) or isinstance(item, property)):
            continue
        if isinstance(item, property):
            yield f"\n**`{name}`** (property)\n\n{markdown(doc)}\n"
        else:
            call: Callable[..., Any] = getattr(kind, name)
            yield f"\n**`{name}`**\n\n{described(name, call)}"


def markdown(docstring: str) -> str:
    """The docstring with its `name: text` blocks as lists, and its examples as code."""
    shown: list[str] = []
    for block in docstring.split("\n\n"):
        lines = block.splitlines()
        if lines and all(line.startswith("    ") for line in lines):
            shown.append("```python\n" + "\n".join(line[4:] for line in lines) + "\n```")
        elif lines and _TERM.fullmatch(lines[0]):
            shown.append("\n".join(_terms(lines)))
        else:
            shown.append(block)
    return "\n\n".join(shown)


def _terms(lines: list[str]) -> Iterator[str]:
    for line in lines:
        found = _TERM.fullmatch(line)
        yield f"- `{found['names']}`: {found['text']}" if found else f"  {line.strip()}"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text("utf-8") == page() else "docs/reference/api.md is stale: generate it")
    PAGE.write_text(page(), "utf-8")
