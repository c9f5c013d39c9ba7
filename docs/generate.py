"""Fills the blocks of the pages that come from the code: `python docs/generate.py`.

A block lies between `<!-- KIND: WHAT -->` and `<!-- end -->`, so that the pages can be read wherever Markdown
can. With `--check` nothing is written, and the exit status is 1 if a page is stale.

file: examples/job.py                  a file, as a code block; the path is relative to `docs`
file: examples/job.py; object: run     one function or class of it
file: examples/job.py; start: A; end: B
                                       from the line that begins with A to the one before that which
                                       begins with B; either may be left out
doc: streamy_core.signals              the docstring of a module
api: streamy_core                      the public names of a module, or those given after `; names: `
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

from api_entries import as_markdown, entries_of

DOCS: Final = Path(__file__).parent

BLOCK: Final = re.compile(
    r"^<!-- (?P<kind>file|doc|api): (?P<what>(?:(?!-->).)+?) -->\n"
    r"(?:(?!<!-- (?:file|doc|api): ).)*?^<!-- end -->$",
    re.DOTALL | re.MULTILINE,
)
LANGUAGES: Final = {
    ".py": "python",
    ".html": "html",
    ".toml": "toml",
    ".sql": "sql",
    ".conf": "nginx",
    ".ts": "typescript",
    ".mjs": "javascript",
    ".js": "javascript",
    ".yaml": "yaml",
    ".service": "ini",
}


def generate(page: str) -> str:
    """The text of a page with its blocks filled."""
    shown: dict[int, str] = {}

    def fill(found: re.Match[str]) -> str:
        what, *options = re.split(r";\s+", found["what"])
        given = dict(option.split(": ", 1) for option in options)
        if found["kind"] == "file":
            filled = code_of(DOCS / what, **given)
        elif found["kind"] == "doc":
            filled = as_markdown(inspect.getdoc(import_module(what)) or "") + "\n"
        else:
            filled = "\n".join(entries_of(import_module(what), given.get("names"), shown))
        return f"<!-- {found['kind']}: {found['what']} -->\n{filled}<!-- end -->"

    return BLOCK.sub(fill, page)


def code_of(path: Path, object: str | None = None, start: str | None = None, end: str | None = None) -> str:
    """A part of a file as a code block."""
    text = path.read_text("utf-8")
    lines = text.splitlines(keepends=True)
    first, last = 0, len(lines)
    if object:
        (node,) = (item for item in ast.parse(text).body if getattr(item, "name", None) == object)
        decorators = getattr(node, "decorator_list", [])
        first, last = min(item.lineno for item in (node, *decorators)) - 1, node.end_lineno or last
    if start:
        first = next(n for n, line in enumerate(lines) if line.startswith(start))
    if end:
        last = next(n for n, line in enumerate(lines) if n > first and line.startswith(end))
    shown = "".join(lines[first:last]).strip("\n")
    return f"```{LANGUAGES.get(path.suffix, 'text')}\n{shown}\n```\n"


def main(arguments: list[str]) -> int:
    stale = []
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text("utf-8")
        if (fresh := generate(text)) != text:
            stale.append(path)
            if "--check" not in arguments:
                path.write_text(fresh, "utf-8")
    for path in stale:
        print(path.relative_to(DOCS), "is stale" if "--check" in arguments else "is written")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
