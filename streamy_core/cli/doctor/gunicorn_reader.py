"""Says what gunicorn's settings come to: `python -P gunicorn_reader.py [gunicorn's arguments]`.

A process of its own, since gunicorn's configuration is a program, which may do anything. Imports nothing
of Streamy's. The last line of its output is JSON; if gunicorn refuses the settings, it says so and exits.
"""

from __future__ import annotations

import json
import sys
from typing import Any

NAMES = (
    "workers", "threads", "worker_connections", "max_requests", "max_requests_jitter", "timeout",
    "preload_app", "certfile", "keyfile",
)  # fmt: skip


def main() -> None:
    """See the module."""
    from gunicorn.app.base import Application  # type: ignore[import-untyped]

    class Settings(Application):  # type: ignore[misc]
        """gunicorn's own reading: its file, its environment, its command line."""

        def init(self, parser: object, opts: object, args: object) -> None:
            """An application by itself sets nothing."""

        def load(self) -> Any:
            """There is none to serve."""

    settings: Any = Settings().cfg
    monkey: Any = sys.modules.get("gevent.monkey")
    found = {name: getattr(settings, name) for name in NAMES}
    found["worker_class"] = _worker_class(settings)
    found["patched"] = monkey is not None and bool(monkey.is_module_patched("threading"))
    sys.stdout.write(f"\n{json.dumps(found)}\n")


def _worker_class(settings: Any) -> str:
    given = settings.settings["worker_class"].get()
    name = given if isinstance(given, str) else f"{given.__module__}.{given.__qualname__}"
    return "gthread" if name == "sync" and settings.threads > 1 else name


if __name__ == "__main__":
    main()
