"""Errors that carry more than a text."""

from __future__ import annotations

import pickle

import pytest

from streamy_core import BrokerUnavailable, PublishFailed, StreamEnded, StreamyError


@pytest.mark.parametrize(
    "error",
    [StreamEnded("news"), PublishFailed("publish to", "news", 2, BrokerUnavailable("refused"))],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_whole_from_another_process(error: StreamyError) -> None:
    twin = pickle.loads(pickle.dumps(error))
    assert (str(twin), vars(twin)) == (str(error), vars(error))
