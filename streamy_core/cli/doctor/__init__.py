"""The doctor: what will go wrong with a set-up, why, and what mends it."""
