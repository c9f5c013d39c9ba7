"""How bytes reach clients: by an iterable of WSGI, on a socket that was taken over, under any server."""
