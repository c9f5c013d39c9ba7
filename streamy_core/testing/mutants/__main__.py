"""Prints which mutants each promise catches."""

import sys

from . import by_promise


def main() -> None:
    """Print a line for each promise."""
    for promise, mutants in sorted(by_promise().items()):
        names = ", ".join(mutant.__name__ for mutant in mutants)
        sys.stdout.write(f"{promise.replace('_', ' ')}: {names}\n")


if __name__ == "__main__":
    main()
