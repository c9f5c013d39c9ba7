"""Several workers and a script share their streams by a database."""

from __future__ import annotations

import pytest

from ..promises.workers import WorkersPromises

pytestmark = pytest.mark.slow


class TestWorkers(WorkersPromises):
    @pytest.fixture
    def workers_url(self, url: str, prefix: str) -> str:
        return f"{url}?table_prefix={prefix}"
