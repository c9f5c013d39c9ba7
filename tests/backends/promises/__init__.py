"""What every backend that processes share keeps: each class is subclassed once for each backend."""

import pytest

pytest.register_assert_rewrite(
    f"{__name__}.forks", f"{__name__}.moving", f"{__name__}.outages", f"{__name__}.workers"
)
