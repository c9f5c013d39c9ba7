"""Rights as an app's workers look at them again: by files in a folder that `RIGHTS` names, which all see.

A file named as a key takes that key's right away; one named `hang` has the look take a minute.
"""

from __future__ import annotations

import os
import time
from pathlib import Path


def may_read_many(asked: list[tuple[str | None, tuple[str, ...]]]) -> list[bool]:
    """For `STREAMY_RECHECK_MANY`."""
    rights = Path(os.environ["RIGHTS"])
    if (rights / "hang").exists():
        (rights / f"hangs in {os.getpid()}").touch()
        time.sleep(60)
    lost = {path.name for path in rights.iterdir()}
    return [key not in lost for key, _ in asked]
