"""What a hub remembers: of bells, and for how long others are let come."""

from __future__ import annotations

from streamy_core.engine.record import Record


def test_bells_gather_for_a_moment_after_others_and_are_heard_at_once_after_a_pause() -> None:
    record = Record()
    assert record.gathering_for(5.0) == 0
    record.heard({"news"}, 5.0)
    assert 0 < record.gathering_for(5.0) <= 0.005
    assert record.gathering_for(5.005) == 0
    record.heard((), 6.0)
    assert record.gathering_for(6.0) == 0, "nothing has rung"
