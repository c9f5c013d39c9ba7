"""How Sphinx builds these pages: `sphinx-build -W -b html docs docs/_build/html`."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "Streamy"
author = "the Streamy authors"
project_copyright = author
release = version = version_of("streamy-sse")

extensions = ["myst_parser"]
exclude_patterns = ["_build", "examples"]
suppress_warnings: list[str] = []

html_theme = "furo"
html_title = f"Streamy {release}"
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
