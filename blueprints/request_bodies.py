"""Read the body of a request whole or not at all, whatever server runs the application.

`RequestBodies` stands around the application and puts a `RequestBody` in the place of the server's stream, so that
views, batches and log lines read the same bytes and meet the same error. `exchange` reads it before any view does: a
request that did not arrive whole is never carried out. The body of a request that is refused unread is read and dropped
before the answer leaves: a server that closes a connection with unread bytes resets it, and the answer is lost.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from app.errors import ApiError, LengthRequired, Malformed, TimedOut

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

DROPPED_BYTES: Final = 75 * 1024 * 1024
"""How much is read of a body that nobody needs: as much as the shipped nginx files let through."""

_STEP_BYTES: Final = 1024 * 1024
# As many digits as int() reads quickly and any file system can hold.
_LENGTH: Final = re.compile(r"[0-9]{1,18}")


class RequestBodies:
    """A WSGI application around another, which reads bodies for it."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        if not (environ.get("CONTENT_LENGTH") or environ.get("HTTP_TRANSFER_ENCODING")):
            # RFC 9112, section 6.3: the client says that there is no body.
            environ["wsgi.input"] = io.BytesIO()
            return self._application(environ, start_response)
        body = RequestBody(environ)
        environ |= {"wsgi.input": body, "wsgi.input_terminated": True}
        answer = self._application(environ, start_response)
        body.drop()
        return answer


class RequestBody(io.RawIOBase):
    """The body of a request as a stream that raises ApiError, at each attempt, unless all of it is there."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        ends = bool(environ.get("wsgi.input_terminated")) and not _ends_silently(environ)
        self._pieces: Iterator[bytes] = _pieces(environ["wsgi.input"], environ.get("CONTENT_LENGTH") or "", ends)
        self._content: io.BytesIO | None = None
        self._error: ApiError | None = None

    def load(self) -> None:
        """Read all of it, once. Raises LengthRequired, Malformed or TimedOut."""
        if self._error is not None:
            raise self._error
        if self._content is None:
            try:
                self._content = io.BytesIO(b"".join(self._pieces))
            except ApiError as error:
                self._error = error
                raise

    def drop(self) -> None:
        """Read what nobody has read, DROPPED_BYTES at most, and keep none of it."""
        if self._content is not None or self._error is not None:
            return
        dropped = 0
        try:
            while dropped < DROPPED_BYTES and (piece := next(self._pieces, b"")):
                dropped += len(piece)
        except ApiError as error:
            self._error = error

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readall(self) -> bytes:
        """Return what nobody has read yet. Raises as `load`."""
        self.load()
        assert self._content is not None, "the body is loaded"
        return self._content.read()

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # typeshed names a type that has no name
        """Fill *buffer* as far as there are bytes. Raises as `load`."""
        self.load()
        assert self._content is not None, "the body is loaded"
        return self._content.readinto(buffer)

    def rewind(self) -> None:
        """Let the next reader begin at the first byte."""
        if self._content is not None:
            self._content.seek(0)


def _ends_silently(environ: WSGIEnvironment) -> bool:
    """Return whether the stream of this server ends the same way where a client is gone and where the last chunk came.

    Granian 2.8 does that.
    """
    return str(environ.get("SERVER_SOFTWARE", "")).lower().startswith("granian")


def _pieces(stream: InputStream, length: str, ends: bool) -> Iterator[bytes]:
    """Yield the body as the server hands it over. Raises LengthRequired, Malformed or TimedOut.

    *length* is Content-Length, "" without one; *ends* says that the server itself knows where the body ends.
    """
    if length and not _LENGTH.fullmatch(length):
        raise Malformed("Content-Length is not a number of bytes.")
    if not length and not ends:
        # The server does not decode chunks, or cannot tell whether the last one came.
        raise LengthRequired
    left = int(length) if length else None
    while left != 0:
        piece = _read(stream, _STEP_BYTES if left is None else min(left, _STEP_BYTES))
        if not piece and left is None:
            return
        if not piece:
            raise Malformed("The request did not arrive whole.")
        yield piece
        left = left if left is None else left - len(piece)


def _read(stream: InputStream, size: int) -> bytes:
    try:
        return stream.read(size) or b""
    except TimeoutError as error:
        raise TimedOut from error
    except Exception as error:  # each server raises its own, and all of them mean this
        raise Malformed("The request did not arrive whole.") from error
