"""Give gunicorn, uWSGI and mod_wsgi the application."""

from app.factory import create_app

application = app = create_app()
