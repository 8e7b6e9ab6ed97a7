"""Read from /proc what processes have cost: processor time of a server with its workers, and their memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_USER_TIME, _CHILDREN_SYSTEM_TIME = 11, 14
"""The first and the last of four fields of /proc/<pid>/stat, counted from the state of the process."""


def cpu_seconds(root: int) -> float:
    """Return the processor time that a process, its living descendants and those that it waited for have used."""
    return sum(_ticks(pid) for pid in _tree(root)) / _TICKS_PER_SECOND


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


def _ticks(pid: int) -> int:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, fields[_USER_TIME : _CHILDREN_SYSTEM_TIME + 1]))


def _proportional_kilobytes(pid: int) -> int:
    lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _read(path: str, *, list_names: bool = False) -> str:
    """Return a file, or the names in a folder; nothing for a process that has ended."""
    try:
        return "\n".join(os.listdir(path)) if list_names else Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
