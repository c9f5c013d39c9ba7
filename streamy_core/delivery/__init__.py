"""How bytes reach clients."""
