"""Observe the duration of calls of a backend, and the calls of Kinto that a read stands for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from app.observations import BackendCalls, Observer
from backends.metrics import calls
from backends.metrics.calls import Call
from backends.storage import Selection, Snapshot


@contextmanager
def time_calls(observe: Observer, *backend_calls: Call) -> Iterator[None]:
    """Observe the duration of a block as the duration of some calls, also if the block raises."""
    start = time.perf_counter()
    try:
        yield
    finally:
        observe(BackendCalls(backend_calls, time.perf_counter() - start))


def time_read(
    read: Callable[[Selection], Snapshot], selection: Selection, observe: Observer, *, locks: bool = False
) -> Snapshot:
    """Read a selection, and observe the read as the calls that Kinto would make (operations contract, 5.1).

    With *locks* it was sent with a lock.
    """
    start, snapshot = time.perf_counter(), None
    try:
        snapshot = read(selection)
        return snapshot
    finally:
        seconds, page = time.perf_counter() - start, selection.page
        shape = _ReadShape(
            targets=bool(selection.targets),
            ancestors=bool(selection.ancestors),
            page=page is not None,
            counting=page is not None and page.count_only,
            partial=page is not None and not page.unrestricted and not (snapshot and snapshot.full),
            clocks=locks or bool(selection.clocks),
            groups=any(not reader.startswith("system.") for reader in selection.readers),
        )
        observe(BackendCalls(_calls_of_read(shape), seconds))


class _ReadShape(NamedTuple):
    """The parts of a selection on which Kinto's calls depend."""

    targets: bool
    ancestors: bool
    page: bool
    counting: bool
    partial: bool
    clocks: bool
    groups: bool


@cache
def _calls_of_read(shape: _ReadShape) -> tuple[Call, ...]:
    return (
        *((calls.GET, calls.GRANTS) if shape.targets else ()),
        *((calls.COUNT_ALL if shape.counting else calls.GET_ALL,) if shape.page else ()),
        *((calls.ACCESSIBLE,) if shape.partial else ()),
        *((calls.CHECK,) if shape.targets or shape.ancestors or shape.page else ()),
        *((calls.TIMESTAMP,) if shape.clocks or shape.page else ()),
        *((calls.PRINCIPALS,) if shape.groups else ()),
    )
