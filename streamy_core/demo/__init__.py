"""`streamy demo`: a page that shows on one's own machine what Streamy does. See `app.run`."""
