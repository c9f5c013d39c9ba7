"""What the doctor is to say of a mistake."""

from __future__ import annotations

from collections.abc import Iterable

from streamy_core.cli.doctor.findings import Finding


def assert_found(findings: Iterable[Finding], level: str, what: str, cure: str) -> None:
    """Fail unless just one thing is found, of this level, with these words in it and in its cure."""
    found = list(findings)
    assert len(found) == 1, found
    (finding,) = found
    assert finding.level == level, finding
    assert what in finding.what, finding
    assert cure in finding.cure, finding
    assert finding.why
