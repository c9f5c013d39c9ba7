"""Prints which mutants each promise catches."""

import sys

from . import by_promise

for promise, mutants in sorted(by_promise().items()):
    sys.stdout.write(f"{promise.replace('_', ' ')}: {', '.join(mutant.__name__ for mutant in mutants)}\n")
