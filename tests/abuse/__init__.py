"""What visitors may do, and what it costs others: nothing. Each module is a kind of abuse."""
