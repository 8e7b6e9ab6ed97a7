"""Write a profile of every request (operations contract, 5.9); loaded only if `profiler_enabled` is true."""

from __future__ import annotations

import re
import sys
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from werkzeug.middleware.profiler import ProfilerMiddleware

from backends.metrics.limits import method_name

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_MAX_PATH_CHARACTERS: Final = 100
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]")


class Profiling:
    """A WSGI application that wraps another: for each request a `cProfile` file and a table on standard output.

    The requests of a process run one after the other: newer Pythons refuse to profile two threads at once.
    Raises OSError if *folder* cannot be created.
    """

    def __init__(self, application: WSGIApplication, folder: str | None) -> None:
        path = Path(folder or tempfile.gettempdir())
        path.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        # Werkzeug documents that this may be a function; its annotation allows only a string.
        name: Any = _file_name
        # Werkzeug's default is the standard output at the time when its module was imported.
        self._profiler = ProfilerMiddleware(application, sys.stdout, profile_dir=str(path), filename_format=name)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        with self._lock:
            return self._profiler(environ, start_response)


def _file_name(environ: WSGIEnvironment) -> str:
    """Return `GET.v1.buckets.2ms.1795406031.prof`; the path is shortened, and `_` replaces other characters."""
    path = _NOT_IN_NAMES.sub("_", environ["PATH_INFO"].strip("/").replace("/", "."))[:_MAX_PATH_CHARACTERS] or "root"
    profile = environ["werkzeug.profiler"]
    return f"{method_name(environ['REQUEST_METHOD'])}.{path}.{profile['elapsed']:.0f}ms.{profile['time']:.0f}.prof"
