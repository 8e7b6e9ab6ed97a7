"""Make the records of requests, of which there are many, for less than `Logger.info` takes."""

import logging
import os
import threading
import time
from typing import Any, Final

_EVERY: Final[dict[str, Any]] = {
    **vars(logging.makeLogRecord({"levelno": logging.INFO, "levelname": "INFO"})),
    "message": "",
    "asctime": "",
}

STANDARD: Final = frozenset(_EVERY) | {"taskName"}
"""What every record has; all else is a field of the line."""


class RequestRecord(logging.LogRecord):
    """A record of level INFO that tells *fields*; where in the code it comes from is nobody's question.

    The fields are attributes, as `extra` makes them, so that any formatter finds them. What only others than our own
    formatters ask for is added when they ask for the message, which is what the formatters of `logging` do first.
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

    def getMessage(self) -> str:
        """Return the message; from now on the record has all that a record has."""
        if "thread" not in self.__dict__:
            here = {"thread": threading.get_ident(), "threadName": threading.current_thread().name}
            self.__dict__ = {**_EVERY, **here, "msecs": int(self.created % 1 * 1000), **self.__dict__}
        return str(self.msg)

    def fields(self) -> dict[str, Any]:
        """Return what the line tells; with what filters have added to the record since."""
        if len(self.__dict__) == self._size:
            return self._fields
        return {name: value for name, value in self.__dict__.items() if name not in STANDARD}


for _name, _value in _EVERY.items():
    setattr(RequestRecord, _name, _value)
