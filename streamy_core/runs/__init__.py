"""Runs: whatever yields, as a stream that outlives the request that has started it."""
