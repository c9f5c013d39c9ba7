"""`streamy demo`."""
