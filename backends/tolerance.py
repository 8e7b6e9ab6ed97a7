"""Log the errors of steps that follow a commit: they must not turn a request that succeeded into an error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def tolerate(log: logging.Logger, message: str, level: int = logging.WARNING) -> Iterator[None]:
    """Log an exception of the block instead of raising it; a log handler that fails as well is ignored."""
    try:
        yield
    except Exception:  # the edge: the data is committed, so the response stays what it is
        with suppress(Exception):
            log.log(level, message, exc_info=True)
