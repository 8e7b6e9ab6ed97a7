"""The log records of requests, which are frequent and take less time than `Logger.info`."""

import logging
import os
import threading
import time
from typing import Any, Final

_DEFAULTS: Final[dict[str, Any]] = {
    **vars(logging.makeLogRecord({"levelno": logging.INFO, "levelname": "INFO"})),
    "message": "",
    "asctime": "",
}

STANDARD: Final = frozenset(_DEFAULTS) | {"taskName"}
"""The attributes of every record; all others are fields of the line."""


class RequestRecord(logging.LogRecord):
    """A record of level INFO with *fields*, without its place in the code.

    The fields are attributes, as with `extra`, so that any formatter finds them. Attributes that only other formatters
    use are added when `getMessage` is called, which the formatters of `logging` do first.
    """

    __slots__ = ("_fields", "_size")

    def __init__(self, name: str, message: str, fields: dict[str, Any]) -> None:
        self.__dict__ = {
            **fields,
            "name": name,
            "msg": message,
            "levelno": logging.INFO,
            "levelname": "INFO",
            "created": time.time(),
            "process": os.getpid(),
        }
        self._fields = fields
        self._size = len(self.__dict__)

    def getMessage(self) -> str:  # noqa: N802  # the name in logging.LogRecord
        """Return the message, and add the remaining standard attributes."""
        if "thread" not in self.__dict__:
            thread = {"thread": threading.get_ident(), "threadName": threading.current_thread().name}
            self.__dict__ = {**_DEFAULTS, **thread, "msecs": int(self.created % 1 * 1000), **self.__dict__}
        return str(self.msg)

    def fields(self) -> dict[str, Any]:
        """Return the fields of the line, with those that filters have added to the record."""
        if len(self.__dict__) == self._size:
            return self._fields
        return {name: value for name, value in self.__dict__.items() if name not in STANDARD}


for _name, _value in _DEFAULTS.items():
    setattr(RequestRecord, _name, _value)
