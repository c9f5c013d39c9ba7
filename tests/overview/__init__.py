"""What processes tell of themselves, and who is shown it."""
