"""What nobody would write, in great numbers: `nox -s fuzz` for a million, `TEST_FUZZ` for another."""
