"""How Sphinx builds these pages: `sphinx-build -W -b html docs docs/_build/html`."""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Streamy"
author = "the Streamy authors"
project_copyright = author
release = version = version_of("streamy-sse")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "examples"]
suppress_warnings: list[str] = []

html_theme = "furo"
html_title = f"Streamy {release}"
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "code"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"

# "name:   what it is", which may go on in lines that are indented further.
_TERM = re.compile(r"(?P<names>[a-z_]+(?:, [a-z_]+)*):\s+(?P<text>\S.*)")


def as_lists(docstring: list[str]) -> list[str]:
    """The lines of a docstring with its `name: text` blocks made lists, which Sphinx understands."""
    shown: list[str] = []
    inside = False
    for line in docstring:
        found = _TERM.fullmatch(line)
        starts_block = not shown or not shown[-1].strip()
        if found and (inside or starts_block):
            inside = True
            shown.append(f"- ``{found['names']}``: {found['text']}")
        elif inside and line.strip():
            shown.append(f"  {line.strip()}")
        else:
            inside = False
            shown.append(line)
    return shown


def _on_docstring(app: Sphinx, what: str, name: str, it: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_lists(lines)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _on_docstring)
