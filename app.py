"""The WSGI entry: gunicorn -c gunicorn.conf.py app:app"""

from relay.web import create_app

app = create_app()
