"""What nobody would write, in great numbers: `nox -s fuzz` for a million, `STREAMY_FUZZ` for another."""
