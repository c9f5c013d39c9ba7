"""The hub's fixtures, for what is delivered of it."""

from ..engine.conftest import broker, hub, make_hub

__all__ = ["broker", "hub", "make_hub"]
