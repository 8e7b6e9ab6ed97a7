"""Say what a log record looks like to machines (Mozlog, Heka) and to people (operations contract, 5.6). Pure."""

import json
import logging
import traceback
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from backends import Json
from backends.logs import REQUEST_LOGGERS, SUMMARY
from backends.logs.records import STANDARD, RequestRecord
from backends.logs.secrets import redacted, scrubbed

Fields = dict[str, Json]

_MOZLOG_SEVERITY: Final = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}
_HEKA_SEVERITY: Final = {logging.CRITICAL: 0, logging.ERROR: 2, logging.WARNING: 4, logging.INFO: 6}
_DEBUG: Final = 7
_ALWAYS_IN_HEKA: Final = ("agent", "lang", "uid", "authn_type", "errno")
_PLAINLY_FLAT: Final = frozenset((str, int, type(None)))
_IN_THE_HEAD: Final = frozenset(("method", "path", "querystring", "code", "t", "time"))

_GREEN, _YELLOW, _RED, _DIM, _PLAIN = "\033[32m", "\033[33m", "\033[31m", "\033[2m", "\033[0m"


def fields(record: logging.LogRecord) -> Fields:
    """Return what a record tells beside its message. The lines of requests are born without secrets."""
    if isinstance(record, RequestRecord):
        return record.fields()
    found: Fields = redacted({name: value for name, value in record.__dict__.items() if name not in STANDARD})
    return found


def message(record: logging.LogRecord) -> str:
    """Return the text of a record."""
    return str(record.msg) if isinstance(record, RequestRecord) else scrubbed(record.getMessage())


def failure(record: logging.LogRecord) -> dict[str, str]:
    """Return the exception that a record tells of: `error` and `traceback`."""
    if not record.exc_info or record.exc_info[1] is None:
        return {}
    return {"error": scrubbed(repr(record.exc_info[1])), "traceback": f"Uncaught exception:\n{trace(record)}"}


def trace(record: logging.LogRecord) -> str:
    """Return the traceback of the exception that a record tells of, "" without one."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return scrubbed("".join(traceback.format_exception(record.exc_info[1])).rstrip())


def mozlog(record: logging.LogRecord, project: str, hostname: str) -> Fields:
    """Return a record in the shape of Mozlog (O-MON-27)."""
    if isinstance(record, RequestRecord):
        found, text = record.fields(), record.msg
    else:
        found, text = {**fields(record), **failure(record)}, message(record)
    if text:
        found = {**found, "msg": text}
    return {
        "Timestamp": int(record.created * 1_000_000_000),
        "Type": record.name,
        "Logger": project,
        "Hostname": hostname,
        "EnvVersion": "2.0",
        "Severity": _MOZLOG_SEVERITY.get(record.levelno, _DEBUG),
        "Pid": record.process,
        "Fields": found,
    }


def heka(record: logging.LogRecord, project: str, hostname: str) -> Fields:
    """Return a record in the shape of the Heka renderer, whose fields nest nothing (O-MON-28)."""
    found = {name: value if _flat(value) else as_json(value) for name, value in fields(record).items()}
    if record.name in REQUEST_LOGGERS:
        for name in _ALWAYS_IN_HEKA:
            found.setdefault(name, None)
    if record.exc_info:
        found |= failure(record)
    return {
        "Timestamp": int(record.created * 1000) * 1_000_000,
        "Type": record.name if record.name == SUMMARY else message(record),
        "Logger": project,
        "Hostname": hostname,
        "EnvVersion": "2.0",
        "Severity": _HEKA_SEVERITY.get(record.levelno, _DEBUG),
        "Pid": record.process,
        "Fields": found,
    }


def _flat(value: Json) -> bool:
    if value.__class__ in _PLAINLY_FLAT:
        return True
    if isinstance(value, list | tuple):
        return all(isinstance(each, str) for each in value)
    return not isinstance(value, Mapping)


def as_json(value: Json) -> str:
    """Return JSON text of plain ASCII on one line: no stream is too narrow for it. What is no JSON becomes its repr.

    orjson knows neither integers above 64 bits nor lone surrogates, which the standard library writes.
    """
    try:
        encoded = orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS)
        if encoded.isascii():
            return encoded.decode()
    except TypeError:  # orjson.JSONEncodeError is one
        pass
    return json.dumps(_with_text_keys(value), default=repr, separators=(",", ":"))


def _with_text_keys(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {str(name): _with_text_keys(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_text_keys(each) for each in value]
    return value


def line(record: logging.LogRecord, *, colored: bool = False, classic: bool = False) -> str:
    """Return a record on one line for people (O-MON-29); *classic* tells the event and hides an empty query."""
    found = fields(record)
    event = record.name if record.name == SUMMARY else message(record)
    if "path" not in found or record.name not in REQUEST_LOGGERS:
        return _paired(_colored(printable(event), _severity_color(record.levelno), colored), found, colored)
    query = urlencode(found.get("querystring") or {}, safe="*")
    shown = f"{found['path']}{'?' if query or not classic else ''}{query}"
    head = f'"{found.get("method", ""):<5} {printable(shown)}"'
    if "code" in found:
        color = _GREEN if found["code"] < 400 else _YELLOW if found["code"] < 500 else _RED
        head += f" {_colored(str(found['code']), color, colored)} ({found.get('t')} ms)"
    if classic or "code" not in found:
        head += f" {event}"
    rest = {name: value for name, value in found.items() if name not in _IN_THE_HEAD}
    return _paired(head, rest, colored)


def _paired(head: str, pairs: Fields, colored: bool) -> str:
    shown = [f"{_colored(name, _DIM, colored)}={_value(value)}" for name, value in sorted(pairs.items())]
    return " ".join([head, *shown])


def _value(value: Json) -> str:
    return printable(as_json(value) if isinstance(value, Mapping | list | tuple) else str(value))


def printable(text: str) -> str:
    """Return a text on one line: nobody who is logged can forge lines or steer the terminal."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _colored(text: str, color: str, colored: bool) -> str:
    return f"{color}{text}{_PLAIN}" if colored else text


def _severity_color(levelno: int) -> str:
    return _RED if levelno >= logging.ERROR else _YELLOW if levelno >= logging.WARNING else _GREEN
