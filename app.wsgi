"""Create the application for uWSGI and mod_wsgi.

Under mod_wsgi the first request creates it: Apache passes `SetEnv KINTO_INI` to requests and never to the process
(O-DEP-3). Elsewhere it is created at once, so that errors are reported at the start.
"""

import os
import sys
import threading

from app.factory import create_app
from app.settings import load


class _LazyApplication:
    """The application, created from the ini file that the process names or else the first request."""

    def __init__(self):
        self.lock = threading.Lock()
        self.application = None

    def __call__(self, environ, start_response):
        if self.application is None:
            with self.lock:
                if self.application is None:
                    ini = os.environ.get("KINTO_INI") or environ.get("KINTO_INI")
                    self.application = create_app(load(ini=ini))
        return self.application(environ, start_response)


application = app = _LazyApplication() if "mod_wsgi" in sys.modules else create_app()
