"""Format log records, as the names of formatters and renderers in an ini file ask for (operations contract, 5.6)."""

import logging
from dataclasses import dataclass
from typing import Any, Literal

from pythonjsonlogger.orjson import OrjsonFormatter

from backends.logs import REQUEST_LOGGERS, shapes

Renderer = Literal["heka", "classic"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where log lines come from: the project's name, and the machine as Mozlog and as Heka name it."""

    project: str = "kinto"
    hostname: str = ""
    heka_hostname: str = ""


class MozlogFormatter(OrjsonFormatter):
    """Write a record as Mozlog JSON on one line (O-MON-27); a format in the file changes nothing."""

    def __init__(self, fmt: str | None = None, datefmt: str | None = None, style: Any = "%", **_: Any) -> None:
        super().__init__(None, datefmt, style)
        self.origin = Origin()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: its shape needs none of the fields that the base class collects first."""
        return shapes.as_json(shapes.mozlog(record, self.origin.project, self.origin.hostname))


class ColorFormatter(logging.Formatter):
    """Write a record on one line for people, in colors where the stream is a terminal (O-MON-29)."""

    def __init__(self, fmt: str | None = None, datefmt: str | None = None, style: Any = "%", **_: Any) -> None:
        super().__init__(None, datefmt)
        self.colored = False

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback of an exception below it."""
        return with_trace(shapes.line(record, colored=self.colored), record)


class RenderedFormatter(logging.Formatter):
    """Fill the `%(message)s` of a format with what a renderer makes of the record (O-MON-28, O-MON-29).

    Without a renderer it is the message, and for the line of a request, which has none, the classic one.
    """

    def __init__(self, plain: logging.Formatter, renderer: Renderer | None, origin: Origin) -> None:
        super().__init__(plain._fmt, plain.datefmt, validate=False)
        self._style = plain._style
        self._bare = plain._fmt == "%(message)s"
        self._renderer = renderer
        self._origin = origin

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = self._text(record)
        if self._bare:
            return text if self._renderer == "heka" else with_trace(text, record)
        record.getMessage()  # what completes the records of requests
        shown = logging.makeLogRecord(record.__dict__)
        shown.msg, shown.args = text, None
        shown.exc_text = shown.exc_info = shown.stack_info = None
        formatted = super().format(shown)
        return formatted if self._renderer == "heka" else with_trace(formatted, record)

    def _text(self, record: logging.LogRecord) -> str:
        if self._renderer == "heka":
            return shapes.as_json(shapes.heka(record, self._origin.project, self._origin.heka_hostname))
        if self._renderer == "classic" or record.name in REQUEST_LOGGERS:
            return shapes.line(record, classic=True)
        return "\n".join(map(shapes.printable, shapes.message(record).split("\n")))


def with_trace(text: str, record: logging.LogRecord) -> str:
    """Return a line with the traceback of the exception below it, if the record tells of one."""
    shown = shapes.trace(record)
    return f"{text}\n{shown}" if shown else text
