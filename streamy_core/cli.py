"""`flask streamy …` and `streamy …`."""
