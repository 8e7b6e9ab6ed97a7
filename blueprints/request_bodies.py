"""Read the body of a request completely or not at all, whatever server runs the application.

`RequestBodies` wraps the application and replaces the server's stream by a `RequestBody`, so that views, batches and
log lines read the same bytes and get the same error. A hook (`blueprints/http.py`) reads the body before any view does:
a request that did not arrive completely is never performed. If a request is refused earlier, its body is read and
discarded before the response is sent: a server that closes a connection with unread bytes resets it, and the response
is lost.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from app.errors import ApiError, LengthRequired, Malformed, TimedOut

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

DISCARD_MAX_BYTES: Final = 75 * 1024 * 1024
"""The size up to which an unused body is read and discarded: the limit in the nginx files of `deploy/`."""

_READ_BYTES: Final = 1024 * 1024
# As many digits as int() reads quickly and any file system can hold.
_LENGTH: Final = re.compile(r"[0-9]{1,18}")


class RequestBodies:
    """A WSGI application that wraps another and reads bodies for it."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        if not (environ.get("CONTENT_LENGTH") or environ.get("HTTP_TRANSFER_ENCODING")):
            # RFC 9112, section 6.3: a request with neither header has no body.
            environ["wsgi.input"] = io.BytesIO()
            return self._application(environ, start_response)
        body = RequestBody(environ)
        environ |= {"wsgi.input": body, "wsgi.input_terminated": True}
        response = self._application(environ, start_response)
        body.discard()
        return response


class RequestBody(io.RawIOBase):
    """The body of a request as a stream; each attempt to read it raises ApiError if it did not arrive completely."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        has_end = bool(environ.get("wsgi.input_terminated")) and not _hides_incomplete_bodies(environ)
        length = environ.get("CONTENT_LENGTH") or ""
        self._chunks: Iterator[bytes] = _read_chunks(environ["wsgi.input"], length, has_end=has_end)
        self._content: io.BytesIO | None = None
        self._error: ApiError | None = None

    def load(self) -> None:
        """Read the whole body, once. Raises LengthRequired, Malformed or TimedOut."""
        if self._error is not None:
            raise self._error
        if self._content is None:
            try:
                self._content = io.BytesIO(b"".join(self._chunks))
            except ApiError as error:
                self._error = error
                raise

    def discard(self) -> None:
        """Read and discard the body unless it is loaded, DISCARD_MAX_BYTES at most."""
        if self._content is not None or self._error is not None:
            return
        size = 0
        try:
            while size < DISCARD_MAX_BYTES and (chunk := next(self._chunks, b"")):
                size += len(chunk)
        except ApiError as error:
            self._error = error

    def readable(self) -> bool:
        """Return True: this is a stream for reading."""
        return True

    def readall(self) -> bytes:
        """Return the rest of the body. Raises the errors of `load`."""
        self.load()
        assert self._content is not None, "the body is loaded"
        return self._content.read()

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # typeshed names a type that has no name
        """Copy the next bytes into *buffer* and return their number. Raises the errors of `load`."""
        self.load()
        assert self._content is not None, "the body is loaded"
        return self._content.readinto(buffer)

    def peek(self) -> bytes:
        """Return the whole body before it is read, empty if it did not arrive completely."""
        with suppress(ApiError):
            self.load()
        return self._content.getvalue() if self._content else b""


def _hides_incomplete_bodies(environ: WSGIEnvironment) -> bool:
    """Return whether the server's stream ends in the same way after the last chunk and after a lost connection.

    That of Granian 2.8 does.
    """
    return str(environ.get("SERVER_SOFTWARE", "")).lower().startswith("granian")


def _read_chunks(stream: InputStream, length: str, *, has_end: bool) -> Iterator[bytes]:
    """Yield the body in the chunks that the server returns. Raises LengthRequired, Malformed or TimedOut.

    *length* is Content-Length, "" without one. *has_end* is true where the stream itself ends with the body.
    """
    if length and not _LENGTH.fullmatch(length):
        raise Malformed("Content-Length is not a number of bytes.")
    if not length and not has_end:
        # The server does not decode a chunked body, or does not report whether the last chunk arrived.
        raise LengthRequired
    missing = int(length) if length else None
    while missing != 0:
        chunk = _read(stream, _READ_BYTES if missing is None else min(missing, _READ_BYTES))
        if not chunk and missing is None:
            return
        if not chunk:
            raise Malformed("The request did not arrive whole.")
        yield chunk
        missing = missing if missing is None else missing - len(chunk)


def _read(stream: InputStream, size: int) -> bytes:
    try:
        return stream.read(size) or b""
    except TimeoutError as error:
        raise TimedOut from error
    except Exception as error:  # each server has exceptions of its own for an incomplete body
        raise Malformed("The request did not arrive whole.") from error
