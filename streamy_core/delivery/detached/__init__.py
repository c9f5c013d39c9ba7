"""Delivery by an event loop that owns the sockets of its clients."""
