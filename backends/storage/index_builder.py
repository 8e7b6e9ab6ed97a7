"""Build indexes while the lists are in use: some objects after the other, each step in a transaction of its own.

The module `backends.storage.index_writes` says why that is right. A step notes how far it came, so that a builder that
was killed continues there. Two builders do not work on the same list: one that finds that the index has come further
than it has brought it leaves the list to the other.
"""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Final

from backends.storage.index_statements import select_lists
from backends.storage.indexes import BUILDING, BUILDING_LONG, REFUSED, Index, duplicates
from backends.storage.maintenance import Maintenance
from backends.storage.tables import indexes

STEP: Final = 100
"""The number of objects that get their keys in one transaction."""


class IndexBuilder(Maintenance):
    """Builds indexes."""

    def run(self, report: Callable[[str], None], pause_seconds: float, *, retry: bool) -> None:
        """Build all unfinished indexes, and with *retry* those that were refused; report those that are built.

        Between two steps it pauses, so that writers get the lock of the list.
        """
        states = [BUILDING, BUILDING_LONG, *([REFUSED] if retry else [])]
        with self._read_session() as session:
            lists = session.connection.execute(select_lists(indexes.c.state.in_(states))).scalars().all()
        for name in lists:
            done: str | None = None
            while (following := self._step(name, done, report, retry=retry and done is None)) is not None:
                done = following
                sleep(pause_seconds)

    def _step(self, name: str, done: str | None, report: Callable[[str], None], *, retry: bool) -> str | None:
        """Build the next part; return the URI that it came to, None if nothing is left or another builder works on it.

        *done* is the URI that this builder came to; None at its first step.
        """
        with self._transaction() as writer:
            if not writer.lock((name,)):
                return None
            if retry:
                writer.indexes.retry(name)
            before = [index.done for index in writer.indexes.of(name) if index.is_building]
            if not before or done not in (None, min(before)):
                return None
            step = writer.indexes.build(name, STEP)
        for index in step.indexes:
            if not index.is_building:
                report(describe(index))
        return min((index.done for index in step.indexes if index.is_building), default=None)


def describe(index: Index) -> str:
    """Return a line with the list, the definition and the state of an index."""
    text = f"{index.list}: {index.definition.text()}: {index.state}"
    return f"{text}: {' and '.join(duplicates(index))} have the same values" if index.state == REFUSED else text
