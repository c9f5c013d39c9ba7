"""How findings are told: a block for each, or JSON; and the exit status."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from ..shell import one_line, say
from .findings import Finding


def report(findings: Sequence[Finding], *, as_json: bool, strict: bool) -> int:
    """Write the findings to standard output. Returns the exit status.

    as_json: as an array of objects. strict: whether a warning counts as an error does.
    """
    if as_json:
        say(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            _say_block(finding)
        say(_summary(findings))
    bad = ("error", "warning") if strict else ("error",)
    return int(any(finding.level in bad for finding in findings))


def _say_block(finding: Finding) -> None:
    say(f"{finding.level}: {one_line(finding.what)}")
    say(f"  why:  {one_line(finding.why)}")
    say(f"  cure: {one_line(finding.cure)}")
    say("")


def _summary(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.level for finding in findings)
    told = [f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items()]
    return f"Found: {', '.join(told)}." if told else "Nothing found."
