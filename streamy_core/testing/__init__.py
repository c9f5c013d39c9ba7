"""What Streamy gives to tests: the contract of a broker."""
