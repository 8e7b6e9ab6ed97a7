"""The options of a takeover of Kinto's data (`backends.storage.takeover`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from backends import Json
from backends.storage.indexes import IndexDefinition

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Opens the progress of a number of rows under a title; the function adds rows that are done."""


@contextmanager
def _no_progress(title: str, total: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG001  # a Progress
    yield lambda _: None


def _no_indexes(document: Mapping[str, Json]) -> Sequence[IndexDefinition]:  # noqa: ARG001  # a default
    return ()


@dataclass(frozen=True, slots=True)
class Takeover:
    """The options of a takeover.

    `again`: take over once more what Kinto has written since, if our tables have not been written to. `keep_orphans`:
    give rows whose parent is gone new parents. `findings_file`: where all findings are written, one line each.
    `declared_indexes` returns the indexes that the document of a collection declares for its records.
    """

    again: bool = False
    keep_orphans: bool = False
    findings_file: Path | None = None
    progress: Progress = _no_progress
    declared_indexes: Callable[[Mapping[str, Json]], Sequence[IndexDefinition]] = _no_indexes
