"""Configure logging by the ini file, or by default without one (operations contract, 1.3 and 5.6)."""

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
from backends.logs.secrets import scrub

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
"""Classes of this project by the names of Kinto and its predecessors (1.9), replaced as text, never imported."""

# The errors that mistakes in a file may raise: `args` of a handler is evaluated as Python.
_FILE_ERRORS: Final = (
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
    """Configure logging by the sections of the file *path*, or by default without a file.

    Existing loggers are not disabled (D-6), and handlers of other code are kept. Raises ValueError.
    """
    before = list(handlers())
    if path is not None:
        _configure_by_file(path, http_port)
    elif not _is_configured():
        _configure_by_default(renderer)
    for handler in handlers():
        if handler not in before:
            handler.setFormatter(_complete_formatter(handler, renderer, origin))


def handlers() -> Iterator[logging.Handler]:
    """Yield the handlers of all loggers without duplicates."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    every = [handler for logger in loggers if isinstance(logger, logging.Logger) for handler in logger.handlers]
    yield from dict.fromkeys(every)


def _is_configured() -> bool:
    return bool(logging.root.handlers or logging.getLogger("kinto").handlers)


def _configure_by_default(renderer: Renderer | None) -> None:
    """Write to standard output: as JSON, or readable lines if it is a terminal (O-MON-32)."""
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
        logger_names = {
            parser.get(f"logger_{key.strip()}", "qualname", fallback="root")
            for key in parser.get("loggers", "keys").split(",")
        }
    except _FILE_ERRORS as error:
        # Without the context of the error: the arguments of a handler may contain a secret.
        raise ValueError(f"{type(error).__name__}: {scrub(str(error))}") from None
    if "cliquet" in logger_names and "kinto" not in logger_names:
        _copy_configuration(logging.getLogger("cliquet"), logging.getLogger("kinto"))
    for name in sorted(logger_names - {"root"}):
        _remove_inherited_handlers(logging.getLogger(name))
    for name in REQUEST_LOGGERS:
        _attach_request_logger(logging.getLogger(name), logger_names)


def _copy_configuration(old: logging.Logger, new: logging.Logger) -> None:
    """Apply the configuration of the logger `cliquet` in a file to the logger `kinto` (1.9)."""
    new.handlers[:] = old.handlers
    new.setLevel(old.level)
    new.propagate = old.propagate


def _remove_inherited_handlers(logger: logging.Logger) -> None:
    """Remove handlers that a logger also inherits from its ancestors: they would write each line twice."""
    ancestor_handlers, ancestor = [], logger
    while ancestor.propagate and ancestor.parent is not None:
        ancestor = ancestor.parent
        ancestor_handlers += ancestor.handlers
    logger.handlers[:] = [handler for handler in logger.handlers if handler not in ancestor_handlers]


def _attach_request_logger(logger: logging.Logger, logger_names: set[str]) -> None:
    """Ensure that request lines are written (D-6): by the root logger as in Kinto, else by the logger `kinto`."""
    logger.parent, kinto = logging.root, logging.getLogger("kinto")
    if logger.name not in logger_names and kinto.isEnabledFor(logging.INFO):
        logger.setLevel(logging.NOTSET)
        if not (logger.isEnabledFor(logging.INFO) and logger.hasHandlers()):
            logger.parent = kinto


def _complete_formatter(handler: logging.Handler, renderer: Renderer | None, origin: Origin) -> logging.Formatter:
    """Return the formatter of a handler, completed by renderer, origin and colors."""
    formatter = handler.formatter or logging.Formatter()
    if isinstance(formatter, MozlogFormatter):
        formatter.origin = origin
    elif isinstance(formatter, ColorFormatter) and isinstance(handler, logging.StreamHandler):
        # Handlers share formatters, and not all handlers write to a terminal.
        formatter = copy.copy(formatter)
        formatter.colored = bool(getattr(handler.stream, "isatty", bool)())
    elif type(formatter) is logging.Formatter:
        return RenderedFormatter(formatter, renderer, origin)
    return formatter
