"""Steps that must not fail what is already done: their errors are logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def tolerate(log: logging.Logger, message: str, level: int = logging.WARNING) -> Iterator[None]:
    """Log an error of the block instead of raising it; a log handler that fails too is ignored."""
    try:
        yield
    except Exception:  # the edge: the data is committed, so the answer stands
        with suppress(Exception):
            log.log(level, message, exc_info=True)
