"""What is defended, as a list: whoever is odd or rude costs nobody but themselves.

test_foreign_entries: what others have written into a log, on each backend
test_foreign_brokers: what somebody else's broker hands over
test_forged_bells:    what others publish on a channel of bells
test_passwords:       what a broker URL must never show
test_sizes:           what is published too large, or under too long a key
test_demo_visitors:   what visitors of the demo, and other sites, may try
"""
