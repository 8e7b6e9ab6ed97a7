"""Create the application for gunicorn and other WSGI servers."""

from app.factory import create_app

application = app = create_app()
