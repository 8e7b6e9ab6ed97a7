"""The formatters of log records that an ini file can name (operations contract, 5.6)."""

import logging
from dataclasses import dataclass
from typing import Any, Literal

from pythonjsonlogger.orjson import OrjsonFormatter

from backends.logs import REQUEST_LOGGERS, shapes

Renderer = Literal["heka", "classic"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of log lines: the name of the project, and the host names in Mozlog and in Heka."""

    project: str = "kinto"
    hostname: str = ""
    heka_hostname: str = ""


class MozlogFormatter(OrjsonFormatter):
    """Write a record as Mozlog JSON on one line (O-MON-27); a format in the file is ignored."""

    def __init__(
        self,
        fmt: str | None = None,  # noqa: ARG002  # logging.config passes it by position
        datefmt: str | None = None,
        style: Any = "%",
        **_: Any,
    ) -> None:
        super().__init__(None, datefmt, style)
        self.origin = Origin()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without the fields that the base class collects and this format does not need."""
        return shapes.as_json(shapes.mozlog(record, self.origin.project, self.origin.hostname))


class ColorFormatter(logging.Formatter):
    """Write a record as one readable line, in colors if the stream is a terminal (O-MON-29)."""

    def __init__(
        self,
        fmt: str | None = None,  # noqa: ARG002  # logging.config passes it by position
        datefmt: str | None = None,
        style: Any = "%",  # noqa: ARG002  # logging.config passes it by position
        **_: Any,
    ) -> None:
        super().__init__(None, datefmt)
        self.colored = False

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the traceback of an exception below it."""
        return with_trace(shapes.line(record, colored=self.colored), record)


class RenderedFormatter(logging.Formatter):
    """Replace `%(message)s` in a format by the output of a renderer (O-MON-28, O-MON-29).

    Without a renderer it is the message, or for a request line, which has no message, the classic line.
    """

    def __init__(self, plain: logging.Formatter, renderer: Renderer | None, origin: Origin) -> None:
        super().__init__(plain._fmt, plain.datefmt, validate=False)  # noqa: SLF001  # a formatter has no public format
        self._style = plain._style  # noqa: SLF001  # as above
        self._bare = plain._fmt == "%(message)s"  # noqa: SLF001  # as above
        self._renderer = renderer
        self._origin = origin

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = self._text(record)
        if self._bare:
            return text if self._renderer == "heka" else with_trace(text, record)
        record.getMessage()  # completes the records of requests
        copy = logging.makeLogRecord(record.__dict__)
        copy.msg, copy.args = text, None
        copy.exc_text = copy.exc_info = copy.stack_info = None
        line = super().format(copy)
        return line if self._renderer == "heka" else with_trace(line, record)

    def _text(self, record: logging.LogRecord) -> str:
        if self._renderer == "heka":
            return shapes.as_json(shapes.heka(record, self._origin.project, self._origin.heka_hostname))
        if self._renderer == "classic" or record.name in REQUEST_LOGGERS:
            return shapes.line(record, classic=True)
        return "\n".join(map(shapes.printable, shapes.message(record).split("\n")))


def with_trace(text: str, record: logging.LogRecord) -> str:
    """Return a line with the traceback of the record's exception below it, if it has one."""
    traceback = shapes.trace(record)
    return f"{text}\n{traceback}" if traceback else text
