"""What a delivery costs, against a loop without any library. Run: `python -m tests.bench.fanout`."""
