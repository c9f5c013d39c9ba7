"""Streams without any web framework: reading, publishing, and what the verbs come to."""
