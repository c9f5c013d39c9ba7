"""What tests of all folders use: servers that run as processes, clients, networks that break."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
"""The project's folder, where `python -m tests.…` and gunicorn find the apps and the scripts of the tests."""
