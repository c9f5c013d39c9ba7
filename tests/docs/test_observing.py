"""The example of an observer hears what it says it hears."""

from __future__ import annotations

from .conftest import DOCS


def load() -> dict[str, object]:
    names: dict[str, object] = {}
    exec((DOCS / "examples" / "observing.py").read_text("utf-8"), names)
    return names


def test_the_slowest_call_that_published_is_remembered() -> None:
    example = load()
    client = example["app"].test_client()  # type: ignore[attr-defined]
    assert client.get("/slowest").json == {"seconds": 0.0}
    assert client.post("/publish").status_code == 200
    assert client.get("/slowest").json["seconds"] > 0
    example["sse"].close()  # type: ignore[attr-defined]
