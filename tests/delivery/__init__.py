"""What delivery owes to clients on the way out, behind a proxy, and on a socket that it took over."""
