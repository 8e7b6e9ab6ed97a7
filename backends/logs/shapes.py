"""Convert log records to Mozlog, Heka and readable lines (operations contract, 5.6), without I/O."""

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
from backends.logs.secrets import redact, scrub

Fields = dict[str, Json]

_MOZLOG_SEVERITY: Final = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}
_HEKA_SEVERITY: Final = {logging.CRITICAL: 0, logging.ERROR: 2, logging.WARNING: 4, logging.INFO: 6}
_DEBUG: Final = 7
_ALWAYS_IN_HEKA: Final = ("agent", "lang", "uid", "authn_type", "errno")
_SCALARS: Final = frozenset((str, int, type(None)))
_HEAD_FIELDS: Final = frozenset(("method", "path", "querystring", "code", "t", "time"))

_GREEN, _YELLOW, _RED, _DIM, _RESET = "\033[32m", "\033[33m", "\033[31m", "\033[2m", "\033[0m"


def fields(record: logging.LogRecord) -> Fields:
    """Return the fields of a record. Request lines contain no secrets, so they are not redacted."""
    if isinstance(record, RequestRecord):
        return record.fields()
    extra: Fields = redact({name: value for name, value in record.__dict__.items() if name not in STANDARD})
    return extra


def message(record: logging.LogRecord) -> str:
    """Return the message of a record."""
    return str(record.msg) if isinstance(record, RequestRecord) else scrub(record.getMessage())


def failure(record: logging.LogRecord) -> dict[str, str]:
    """Return the exception of a record as fields `error` and `traceback`, none without an exception."""
    if not record.exc_info or record.exc_info[1] is None:
        return {}
    return {"error": scrub(repr(record.exc_info[1])), "traceback": f"Uncaught exception:\n{trace(record)}"}


def trace(record: logging.LogRecord) -> str:
    """Return the traceback of the exception of a record, "" without an exception."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return scrub("".join(traceback.format_exception(record.exc_info[1])).rstrip())


def mozlog(record: logging.LogRecord, project: str, hostname: str) -> Fields:
    """Return a record in the format of Mozlog (O-MON-27)."""
    if isinstance(record, RequestRecord):
        members, text = record.fields(), record.msg
    else:
        members, text = {**fields(record), **failure(record)}, message(record)
    if text:
        members = {**members, "msg": text}
    return {
        "Timestamp": int(record.created * 1_000_000_000),
        "Type": record.name,
        "Logger": project,
        "Hostname": hostname,
        "EnvVersion": "2.0",
        "Severity": _MOZLOG_SEVERITY.get(record.levelno, _DEBUG),
        "Pid": record.process,
        "Fields": members,
    }


def heka(record: logging.LogRecord, project: str, hostname: str) -> Fields:
    """Return a record in the format of the Heka renderer, whose fields are flat (O-MON-28)."""
    members = {name: value if _is_flat(value) else as_json(value) for name, value in fields(record).items()}
    if record.name in REQUEST_LOGGERS:
        for name in _ALWAYS_IN_HEKA:
            members.setdefault(name, None)
    if record.exc_info:
        members |= failure(record)
    return {
        "Timestamp": int(record.created * 1000) * 1_000_000,
        "Type": record.name if record.name == SUMMARY else message(record),
        "Logger": project,
        "Hostname": hostname,
        "EnvVersion": "2.0",
        "Severity": _HEKA_SEVERITY.get(record.levelno, _DEBUG),
        "Pid": record.process,
        "Fields": members,
    }


def _is_flat(value: Json) -> bool:
    if value.__class__ in _SCALARS:
        return True
    if isinstance(value, list | tuple):
        return all(isinstance(inner, str) for inner in value)
    return not isinstance(value, Mapping)


def as_json(value: Json) -> str:
    """Return JSON text in ASCII on one line, for streams of any encoding; a value that is not JSON becomes its repr.

    The standard library encodes integers above 64 bits and lone surrogates, which orjson rejects.
    """
    try:
        content = orjson.dumps(value, default=repr, option=orjson.OPT_NON_STR_KEYS)
        if content.isascii():
            return content.decode()
    except TypeError:  # includes orjson.JSONEncodeError
        pass
    return json.dumps(_with_text_keys(value), default=repr, separators=(",", ":"))


def _with_text_keys(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {str(name): _with_text_keys(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_text_keys(inner) for inner in value]
    return value


def line(record: logging.LogRecord, *, colored: bool = False, classic: bool = False) -> str:
    """Return a record as one readable line (O-MON-29); *classic* adds the event and omits an empty query."""
    members = fields(record)
    event = record.name if record.name == SUMMARY else message(record)
    if "path" not in members or record.name not in REQUEST_LOGGERS:
        head = _colorize(printable(event), _severity_color(record.levelno), colored=colored)
        return _join(head, members, colored=colored)
    query = urlencode(members.get("querystring") or {}, safe="*")
    target = f"{members['path']}{'?' if query or not classic else ''}{query}"
    head = f'"{members.get("method", ""):<5} {printable(target)}"'
    if "code" in members:
        color = _GREEN if members["code"] < 400 else _YELLOW if members["code"] < 500 else _RED
        head += f" {_colorize(str(members['code']), color, colored=colored)} ({members.get('t')} ms)"
    if classic or "code" not in members:
        head += f" {event}"
    pairs = {name: value for name, value in members.items() if name not in _HEAD_FIELDS}
    return _join(head, pairs, colored=colored)


def _join(head: str, pairs: Fields, *, colored: bool) -> str:
    texts = [f"{_colorize(name, _DIM, colored=colored)}={_value(value)}" for name, value in sorted(pairs.items())]
    return " ".join([head, *texts])


def _value(value: Json) -> str:
    return printable(as_json(value) if isinstance(value, Mapping | list | tuple) else str(value))


def printable(text: str) -> str:
    """Return a text on one line, escaped, so that clients can neither forge lines nor send control sequences."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _colorize(text: str, color: str, *, colored: bool) -> str:
    return f"{color}{text}{_RESET}" if colored else text


def _severity_color(levelno: int) -> str:
    return _RED if levelno >= logging.ERROR else _YELLOW if levelno >= logging.WARNING else _GREEN
