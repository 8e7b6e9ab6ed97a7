"""Set up logging: as the ini file says, or in a way that makes sense without one (operations contract, 1.3 and 5.6)."""

import configparser
import copy
import logging
import logging.config
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from backends.logs import REQUEST_LOGGERS, StreamHandlerWithRequestID
from backends.logs.formats import ColorFormatter, MozlogFormatter, Origin, RenderedFormatter, Renderer
from backends.logs.secrets import scrubbed

_MOZLOG: Final = "backends.logs.formats.MozlogFormatter"
_ALIASES: Final = {
    "kinto.core.JsonLogFormatter": _MOZLOG,
    "mozilla_cloud_services_logger.formatters.JsonLogFormatter": _MOZLOG,
    "dockerflow.logging.JsonLogFormatter": _MOZLOG,
    "dockerflow.logging.MozlogFormatter": _MOZLOG,
    "logging_color_formatter.ColorFormatter": "backends.logs.formats.ColorFormatter",
    "kinto.core.StreamHandlerWithRequestID": "backends.logs.StreamHandlerWithRequestID",
    "raven.handlers.logging.SentryHandler": "backends.sentry.SentryHandler",
}
"""Classes of Kinto's packages and of its past, by the names of ours (1.9): replaced as text, never imported."""

# `args` of a handler is evaluated Python: what a mistake in a file may raise.
_MISTAKES: Final = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    configparser.Error,
)


def configure(path: str | None, http_port: str, renderer: Renderer | None, origin: Origin) -> None:
    """Set up logging by the sections of the file *path*, or by default where there is none.

    Loggers that exist already go on (D-6), and handlers that somebody else has set up stay. Raises ValueError.
    """
    before = list(handlers())
    if path is not None:
        _configure_by_file(path, http_port)
    elif not _configured():
        _configure_by_default(renderer)
    for handler in handlers():
        if handler not in before:
            handler.setFormatter(_adopted(handler, renderer, origin))


def handlers() -> Iterator[logging.Handler]:
    """Yield every handler of every logger, each once."""
    known = [logging.root, *(each for each in logging.root.manager.loggerDict.values())]
    found = [handler for logger in known if isinstance(logger, logging.Logger) for handler in logger.handlers]
    yield from dict.fromkeys(found)


def _configured() -> bool:
    return bool(logging.root.handlers or logging.getLogger("kinto").handlers)


def _configure_by_default(renderer: Renderer | None) -> None:
    """Write to standard output: JSON, or for people where it is a terminal (O-MON-32)."""
    handler = StreamHandlerWithRequestID(sys.stdout)
    handler.setFormatter(
        logging.Formatter() if renderer else ColorFormatter() if sys.stdout.isatty() else MozlogFormatter()
    )
    logging.root.addHandler(handler)
    for name in ("kinto", *REQUEST_LOGGERS):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def _configure_by_file(path: str, http_port: str) -> None:
    here = str(Path(path).absolute().parent).replace("%", "%%")
    parser = configparser.ConfigParser({"here": here, "http_port": http_port})
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8-sig"), path)
        for section in parser.sections():
            name = parser.get(section, "class", raw=True, fallback="")
            if section.startswith(("formatter_", "handler_")) and name in _ALIASES:
                parser.set(section, "class", _ALIASES[name])
        logging.config.fileConfig(parser, disable_existing_loggers=False)
        named = {
            parser.get(f"logger_{key.strip()}", "qualname", fallback="root")
            for key in parser.get("loggers", "keys").split(",")
        }
    except _MISTAKES as error:
        # Not the error's own context: the arguments of a handler may hold a secret.
        raise ValueError(f"{type(error).__name__}: {scrubbed(str(error))}") from None
    if "cliquet" in named and "kinto" not in named:
        _take_over(logging.getLogger("cliquet"), logging.getLogger("kinto"))
    for name in sorted(named - {"root"}):
        _write_once(logging.getLogger(name))
    for name in REQUEST_LOGGERS:
        _place(logging.getLogger(name), named)


def _take_over(old: logging.Logger, new: logging.Logger) -> None:
    """Make the logger `cliquet` of a file speak for ours (1.9)."""
    new.handlers[:] = old.handlers
    new.setLevel(old.level)
    new.propagate = old.propagate


def _write_once(logger: logging.Logger) -> None:
    """Take from a logger the handlers that its records reach anyway further up: they would write each line twice."""
    above, each = [], logger
    while each.propagate and each.parent is not None:
        each = each.parent
        above += each.handlers
    logger.handlers[:] = [handler for handler in logger.handlers if handler not in above]


def _place(logger: logging.Logger, named: set[str]) -> None:
    """See to it that the lines of requests get out (D-6): by the root as in Kinto, or else by the logger `kinto`."""
    logger.parent, kinto = logging.root, logging.getLogger("kinto")
    if logger.name not in named and kinto.isEnabledFor(logging.INFO):
        logger.setLevel(logging.NOTSET)
        if not (logger.isEnabledFor(logging.INFO) and logger.hasHandlers()):
            logger.parent = kinto


def _adopted(handler: logging.Handler, renderer: Renderer | None, origin: Origin) -> logging.Formatter:
    """Return the formatter of a handler, told what it cannot know: renderer, names, whether there are colors."""
    formatter = handler.formatter or logging.Formatter()
    if isinstance(formatter, MozlogFormatter):
        formatter.origin = origin
    elif isinstance(formatter, ColorFormatter) and isinstance(handler, logging.StreamHandler):
        # Handlers share their formatters, and not all of them write to a terminal.
        formatter = copy.copy(formatter)
        formatter.colored = bool(getattr(handler.stream, "isatty", bool)())
    elif type(formatter) is logging.Formatter:
        return RenderedFormatter(formatter, renderer, origin)
    return formatter
