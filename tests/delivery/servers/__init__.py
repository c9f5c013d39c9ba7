"""Streaming over real servers, read by real clients."""
