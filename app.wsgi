"""Give uWSGI and mod_wsgi the application.

Under mod_wsgi it is made at the first request: Apache tells `SetEnv KINTO_INI` to requests and never to the process
(O-DEP-3). Everywhere else it is made at once, so that what is wrong is told at the start.
"""

import os
import sys
import threading

from app.factory import create_app
from app.settings import load


class _AtFirstRequest:
    """The application, made of the ini file that the first request names unless the process names one."""

    def __init__(self):
        self.lock = threading.Lock()
        self.made = None

    def __call__(self, environ, start_response):
        if self.made is None:
            with self.lock:
                if self.made is None:
                    ini = os.environ.get("KINTO_INI") or environ.get("KINTO_INI")
                    self.made = create_app(load(ini=ini))
        return self.made(environ, start_response)


application = app = _AtFirstRequest() if "mod_wsgi" in sys.modules else create_app()
