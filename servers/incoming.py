"""Collect one HTTP/1.1 request from the bytes of a client as they arrive, without ever waiting for more.

gunicorn's own parser reads the head once it is complete; this module only finds the ends of head and body. A chunked
body is decoded, so that the application gets its length like that of any other (RFC 9112, section 7.1.3).
"""

from __future__ import annotations

import re
import tempfile
from typing import Any

from gunicorn.http.body import CHUNK_EXT_RE, Body, ChunkedReader, LengthReader
from gunicorn.http.errors import (
    ChunkMissingTerminator,
    InvalidChunkExtension,
    InvalidChunkSize,
    LimitRequestHeaders,
    NoMoreData,
)
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader, Unreader

_MEMORY_BYTES = 1024 * 1024
_READ_BYTES = 64 * 1024
_LINE_END = b"\r\n"
_SECTION_END = b"\r\n\r\n"
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_SIZE = re.compile(rb"[0-9A-Fa-f]+")


class BodyTooLarge(Exception):
    """A body has more bytes than the server accepts."""


class IncomingRequest:
    """A request that is arriving: `request` is set when its head is complete, `remaining` has the bytes behind it."""

    def __init__(self, cfg: Any, client: Any, number: int, body_max_bytes: int) -> None:
        self.request: Any = None
        self.remaining = b""
        self._parse = (cfg, client, number)
        self._body_max_bytes = body_max_bytes
        self._head = bytearray()
        self._body = _StoredBody()
        self._missing_bytes = 0
        self._chunks: _Chunks | None = None

    @property
    def has_begun(self) -> bool:
        """Return whether any byte of the request has arrived."""
        return self.request is not None or bool(self._head)

    def feed(self, data: bytes) -> bool:
        """Add bytes and return whether the request is complete. Raises BodyTooLarge or ParseException."""
        if self.request is None:
            head_length = len(self._head)
            self._head += data
            end = self._head.find(_SECTION_END, max(0, head_length - 3))
            if end < 0 and not self._is_invalid(head_length):
                return False
            end = end + len(_SECTION_END) if end >= 0 else len(self._head)
            self._read_head(bytes(self._head[:end]))
            data = bytes(self._head[end:])
        return self._feed_body(data)

    def _is_invalid(self, start: int) -> bool:
        """Return whether the parser refuses every head that begins like this one; skip the bytes already *start*."""
        cfg = self._parse[0]
        limit = cfg.limit_request_line + cfg.limit_request_fields * (cfg.limit_request_field_size + 2) + 4
        return len(self._head) > limit or _BARE_LINE_FEED.search(self._head, start) is not None

    def _read_head(self, head: bytes) -> None:
        cfg, client, number = self._parse
        try:
            self.request = Request(cfg, IterUnreader([head]), client, number)
        except NoMoreData as error:
            raise LimitRequestHeaders("max buffer headers") from error
        reader = self.request.body.reader
        if isinstance(reader, ChunkedReader):
            self._chunks = _Chunks(self.request)
        else:
            self._missing_bytes = reader.length
        if self._missing_bytes > self._body_max_bytes:
            raise BodyTooLarge

    def _feed_body(self, data: bytes) -> bool:
        if self._chunks is None:
            piece, self.remaining = data[: self._missing_bytes], data[self._missing_bytes :]
            self._missing_bytes -= len(piece)
            is_complete = self._missing_bytes == 0
        else:
            piece = self._chunks.feed(data)
            is_complete, self.remaining = self._chunks.ended, self._chunks.remaining
            if self._body.size + len(piece) + self._chunks.missing_bytes > self._body_max_bytes:
                raise BodyTooLarge
        self._body.write(piece)
        if is_complete:
            self._finish()
        return is_complete

    def _finish(self) -> None:
        self.request.body = Body(LengthReader(self._body, self._body.size))
        if self._chunks is not None:
            headers = [(name, value) for name, value in self.request.headers if name != "TRANSFER-ENCODING"]
            self.request.headers = [*headers, ("CONTENT-LENGTH", str(self._body.size))]

    def close(self) -> None:
        """Release the body."""
        self._body.close()


class _StoredBody(Unreader):  # type: ignore[misc]  # gunicorn has no types
    """A body in memory, or in a file if it is large; gunicorn reads it as it would read the socket."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = None

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if not data:
            return
        if self._file is None:
            self._file = tempfile.SpooledTemporaryFile(_MEMORY_BYTES)  # noqa: SIM115  # the worker closes it
        self._file.seek(self.size)
        self._file.write(data)
        self.size += len(data)
        self._file.seek(0)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes, none at the end."""
        return self._file.read(max(size_hint or 0, _READ_BYTES)) if self._file else b""

    def close(self) -> None:
        """Release the memory or file."""
        if self._file is not None:
            self._file.close()


class _Chunks:
    """A chunked body (RFC 9112, section 7.1): `missing_bytes` bytes of the current chunk are missing.

    Once it has `ended`, `remaining` has the bytes after its end.
    """

    def __init__(self, request: Any) -> None:
        self.missing_bytes = 0
        self.ended = False
        self.remaining = b""
        self._request = request
        self._buffer = bytearray()
        self._data_ended = False
        self._trailing = False

    def feed(self, data: bytes) -> bytes:
        """Add bytes and return the decoded part of the body. Raises ParseException."""
        self._buffer += data
        content = bytearray()
        while not self.ended and self._parse_next(content):
            pass
        if self.ended:
            self.remaining = bytes(self._buffer)
        return bytes(content)

    def _parse_next(self, content: bytearray) -> bool:
        """Parse the next part; return False if it needs more bytes."""
        if self.missing_bytes:
            piece = self._take(min(self.missing_bytes, len(self._buffer)))
            content += piece
            self.missing_bytes -= len(piece)
            self._data_ended = not self.missing_bytes
            return self._data_ended
        if self._data_ended:
            if len(self._buffer) < len(_LINE_END):
                return False
            if (end := self._take(len(_LINE_END))) != _LINE_END:
                raise ChunkMissingTerminator(end)
            self._data_ended = False
            return True
        return self._parse_trailers() if self._trailing else self._parse_size()

    def _parse_size(self) -> bool:
        end = self._buffer.find(_LINE_END)
        if end < 0:
            if len(self._buffer) > self._request.limit_request_field_size:
                raise InvalidChunkSize(b"line is too long")
            return False
        digits, semicolon, extension = self._take(end + len(_LINE_END))[:end].partition(b";")
        if semicolon:
            digits = digits.rstrip(b" \t")
        if not _SIZE.fullmatch(digits):
            raise InvalidChunkSize(digits)
        if not CHUNK_EXT_RE.fullmatch(semicolon + extension):
            raise InvalidChunkExtension("invalid chunk extension")
        self.missing_bytes = int(digits, 16)
        self._trailing = not self.missing_bytes
        return True

    def _parse_trailers(self) -> bool:
        if self._buffer.startswith(_LINE_END):
            del self._buffer[: len(_LINE_END)]
            self.ended = True
            return True
        end = self._buffer.find(_SECTION_END)
        if end < 0:
            if len(self._buffer) > self._request.max_buffer_headers or _BARE_LINE_FEED.search(self._buffer):
                raise LimitRequestHeaders("trailer section")
            return False
        self._request.trailers = self._request.parse_headers(
            self._take(end + len(_SECTION_END))[:end], from_trailer=True
        )
        self.ended = True
        return True

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data
