"""gunicorn -c grants_gunicorn.py …: an access log without what comes after a URL's question mark."""

accesslog = "-"
access_log_format = '%(h)s %(t)s "%(m)s %(U)s %(H)s" %(s)s %(b)s "%(a)s"'
