"""How a mutant says which promises it breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=type[Any])


def breaks(**promises: str) -> Callable[[Kind], Kind]:
    """Marks a mutant: the names of the promises that it breaks, each with words that its author then reads.

    A promise's name is that of its test in the contract, without "test_".
    """

    def mark(kind: Kind) -> Kind:
        kind.breaks = MappingProxyType(promises)
        return kind

    return mark


def broken_by(kind: type) -> Mapping[str, str]:
    """What `breaks` has marked this very class with; nothing for a base of mutants, or a sound one."""
    found: Mapping[str, str] = vars(kind).get("breaks", {})
    return found
