"""Read from Linux what processes have cost: processor time of a server with its workers, and their memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_CHILDREN_USER_TIME, _CHILDREN_SYSTEM_TIME = 13, 14
"""Fields of /proc/<pid>/stat, counted from the state of the process."""


def cpu_seconds(root: int) -> float:
    """Return the processor time that a process, its living descendants and those that it waited for have used."""
    return sum(_own_seconds(pid) + _ended_seconds(pid) for pid in _tree(root))


def proportional_bytes(root: int) -> int:
    """Return the memory of a process and its descendants, each shared page divided among its users (PSS)."""
    return sum(_proportional_kilobytes(pid) for pid in _tree(root)) * 1024


def _tree(root: int) -> Iterator[int]:
    pending = [root]
    while pending:
        pid = pending.pop()
        yield pid
        for task in _read(f"/proc/{pid}/task", list_names=True).split():
            pending += map(int, _read(f"/proc/{pid}/task/{task}/children").split())


def _own_seconds(pid: int) -> float:
    """Return the processor time of all threads of a process, by the clock that Linux has for each (clock_getres(2))."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:  # it has ended meanwhile
        return 0.0


def _ended_seconds(pid: int) -> float:
    """Return the processor time of the children of a process that have ended, in whole ticks."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, fields[_CHILDREN_USER_TIME : _CHILDREN_SYSTEM_TIME + 1])) / _TICKS_PER_SECOND


def _proportional_kilobytes(pid: int) -> int:
    lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _read(path: str, *, list_names: bool = False) -> str:
    """Return a file, or the names in a folder; nothing for a process that has ended."""
    try:
        return "\n".join(os.listdir(path)) if list_names else Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
