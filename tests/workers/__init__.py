"""Several worker processes on one backend: what every shared broker has to keep there."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.promises")
