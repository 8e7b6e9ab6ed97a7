"""Limit the time that a request may take in the database, so that its thread is free for others after a known time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from backends.deadlines import set_deadline

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Deadlines:
    """A WSGI application that wraps another, whose requests have a deadline.

    Each part of a response that is streamed has one of its own (`blueprints.http.stream`).
    """

    def __init__(self, application: WSGIApplication, seconds: float) -> None:
        self._application = application
        self._seconds = seconds

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        with set_deadline(self._seconds):
            return self._application(environ, start_response)
