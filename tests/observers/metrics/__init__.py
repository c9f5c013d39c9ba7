"""Metrics: each moves for the reason that it names."""
