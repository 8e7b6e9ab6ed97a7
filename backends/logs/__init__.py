"""Where log lines go, and what they look like there (operations contract, 5.5 and 5.6).

`configuration` sets up logging, `formats` and `shapes` say what a line looks like, `secrets` what no line tells.
"""

import logging
from contextvars import ContextVar
from typing import Any, Final

SUMMARY: Final = "request.summary"
SUBREQUEST: Final = "subrequest.summary"
REQUEST_LOGGERS: Final = (SUMMARY, SUBREQUEST)

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The id of the HTTP request that this thread works for."""


class StreamHandlerWithRequestID(logging.StreamHandler[Any]):
    """Write records to a stream; those made during a request tell its id as `rid` (O-MON-31)."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Write the record, one at a time, unless a filter refuses it."""
        if self.filters:
            return super().handle(record)
        assert self.lock is not None, "a handler has one from its birth"
        with self.lock:
            self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Add the id, unless the record has one, and write the record: as the base class does, in one step."""
        request_id = REQUEST_ID.get()
        if request_id is not None and "rid" not in record.__dict__:
            record.rid = request_id
        try:
            self.stream.write(f"{self.format(record)}{self.terminator}")
            self.stream.flush()
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001  # what a handler is asked to do with any failure (logging.Handler.handleError)
            self.handleError(record)
