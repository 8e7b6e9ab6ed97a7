"""Logging: handlers, formats and configuration (operations contract, 5.5 and 5.6).

`configuration` sets up logging, `formats` and `shapes` define the formats of lines, `secrets` redacts them.
"""

import logging
from contextvars import ContextVar
from typing import Any, Final

SUMMARY: Final = "request.summary"
SUBREQUEST: Final = "subrequest.summary"
REQUEST_LOGGERS: Final = (SUMMARY, SUBREQUEST)

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The id of the HTTP request that this thread handles."""


class StreamHandlerWithRequestID(logging.StreamHandler[Any]):
    """Write records to a stream; records of a request have its id as `rid` (O-MON-31)."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Write a record under the lock, unless a filter rejects it."""
        if self.filters:
            return super().handle(record)
        assert self.lock is not None, "every handler has a lock"
        with self.lock:
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Add the request id, unless the record has one, and write the record in one step, as the base class does."""
        request_id = REQUEST_ID.get()
        if request_id is not None and "rid" not in record.__dict__:
            record.rid = request_id
        try:
            self.stream.write(f"{self.format(record)}{self.terminator}")
            self.stream.flush()
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001  # required of handlers: logging.Handler.handleError
            self.handleError(record)
