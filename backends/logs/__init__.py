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

    def emit(self, record: logging.LogRecord) -> None:
        """Add the id, unless the record has one, and write the record."""
        request_id = REQUEST_ID.get()
        if request_id is not None and "rid" not in record.__dict__:
            record.rid = request_id
        super().emit(record)
