"""The files of dumps: compressed by their name, read by their content, written completely or not at all."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, cast

import zstandard

STANDARD_STREAM: Final = "-"

_PART: Final = ".part"
_ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"
_GZIP: Final = b"\x1f\x8b"
_GZIP_LEVEL: Final = 6
_MAX_LINE_BYTES: Final = 512 * 1024**2
"""The greatest length of a line; PostgreSQL stores documents of up to 256 MB."""


class Damaged(Exception):
    """A compressed stream cannot be decompressed."""


@contextmanager
def create_dump(name: str) -> Iterator[IO[bytes]]:
    """Yield the stream into a new file, or to standard output, that compresses as the name ends in .zst or .gz.

    The file is only there with its name when the block has ended without an error. Nobody but its owner may read it.
    Raises OSError.
    """
    if name == STANDARD_STREAM:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = Path(name + _PART)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with _compressing_stream(file, name) as stream:
                yield stream
            file.flush()
            os.fsync(file.fileno())
        part.replace(name)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


@contextmanager
def _compressing_stream(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    if name.endswith(".zst"):
        compressor = zstandard.ZstdCompressor(write_checksum=True)
        with compressor.stream_writer(file, closefd=False) as stream:
            yield cast(IO[bytes], stream)
    elif name.endswith(".gz"):
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_GZIP_LEVEL) as stream:
            yield cast(IO[bytes], stream)
    else:
        yield file


@contextmanager
def open_dump(name: str) -> Iterator[Iterator[bytes]]:
    """Yield the lines of a file, or of standard input, decompressed if needed. Raises OSError, Damaged."""
    if name == STANDARD_STREAM:
        yield _lines(_decompressing_stream(io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer))))
        return
    with Path(name).open("rb") as file:
        yield _lines(_decompressing_stream(file))


def _decompressing_stream(file: io.BufferedReader) -> IO[bytes]:
    beginning = file.peek(len(_ZSTANDARD))
    if beginning.startswith(_ZSTANDARD):
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return io.BufferedReader(cast(io.RawIOBase, reader), 1 << 20)
    return cast(IO[bytes], gzip.GzipFile(fileobj=file)) if beginning.startswith(_GZIP) else file


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield lines with their ends; a line that is too long is cut, so that it has none."""
    try:
        while line := stream.readline(_MAX_LINE_BYTES):
            yield line
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        raise Damaged(f"it cannot be decompressed ({' '.join(str(error).split())})") from error
