"""What was written for flask-streamy 0.1.2 goes on to work."""
