"""No password gets out: not by a log, an error or a `repr`, however a URL is written."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ..support.secrets import PART, PLACES, Place, special, told_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.shape)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(glue=st.lists(special, max_size=3))
@example(glue=["?", "="])
@example(glue=["?x=", "@"])
@example(glue=["&", "="])
def test_a_password_is_in_no_text(place: Place, glue: list[str], caplog: pytest.LogCaptureFixture) -> None:
    clear = ["".join(char for char in text if char not in place.unclear) for text in glue]
    url = place.shape.replace("{}", PART.join(["", *clear, ""]) or PART)
    told = told_of({"STREAMY_BROKER_URL": url}, caplog)
    assert told.strip()
    assert PART not in told, told
