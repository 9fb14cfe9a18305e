"""How gunicorn serves the naive peer: one gevent worker, with room for all the streams of the bench."""

worker_class = "gevent"
workers = 1
worker_connections = 20_000
keepalive = 75
timeout = 60
control_socket_disable = True
