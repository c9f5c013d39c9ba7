"""gunicorn.conf.py of an app with metrics: several workers, of which some may be killed."""

import os
import shutil
from pathlib import Path
from typing import Any

from streamy_core.observers.metrics.prometheus import child_exit  # noqa: F401 - a hook of gunicorn's

workers = 4
threads = 8
worker_class = "gthread"


def on_starting(server: Any) -> None:
    """What another run has counted is over."""
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
