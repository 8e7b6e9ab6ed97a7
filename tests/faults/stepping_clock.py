"""Run gunicorn with a clock that an administrator steps: its offset in seconds is read from the file of a variable.

libfaketime serves PostgreSQL so; it breaks `time.sleep` of Python. Waits and timeouts use the monotonic clock.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

from gunicorn.app.wsgiapp import run

OFFSET_FILE: Final = "STEPPING_CLOCK"
_NANOSECONDS: Final = 1_000_000_000

_time_ns: Final = time.time_ns


def _stepped_ns() -> int:
    return _time_ns() + int(Path(os.environ[OFFSET_FILE]).read_text() or 0) * _NANOSECONDS


def _stepped() -> float:
    return _stepped_ns() / _NANOSECONDS


if __name__ == "__main__":
    time.time_ns, time.time = _stepped_ns, _stepped
    sys.exit(run())
