"""Create the indexes that pages of large lists need, and drop those that no page has used for a month.

All of it is decided under the lock of the list, so that an index that several processes create exists once, and a list
whose collection was deleted meanwhile gets none. An index of a derived list is created under the locks of all lists of
its bucket (`backends.storage.index_writes` says why).
"""

from __future__ import annotations

from typing import Final

from backends.storage.index_statements import select_lists
from backends.storage.index_suggestions import has_room
from backends.storage.indexes import AUTOMATIC, Index, IndexDefinition
from backends.storage.keys import bucket_of, list_of
from backends.storage.maintenance import Maintenance
from backends.storage.selections import Selection
from backends.storage.tables import indexes
from backends.storage.writes import Writer

UNUSED_MS: Final = 30 * 24 * 3_600_000
"""How long an automatic index may be without use."""


class AutomaticIndexes(Maintenance):
    """Creates and drops automatic indexes."""

    def create(self, name: str, definition: IndexDefinition) -> None:
        """Create an index of a list, to be built, if the list is still large and has room for it."""
        uri = list_of(name)
        with self._transaction() as writer:
            clock = writer.lock((name,), (uri,) if name in writer.derived else ()).get(name)
            parent = writer.read(Selection(bucket_of(name), targets=(uri,))).objects.get(uri)
            # The clock stays, with its count, when the parent of the list is deleted.
            if clock is None or parent is None or parent.deleted:
                return
            if has_room(definition, clock.count, writer.indexes.of(name)):
                writer.indexes.create(name, definition, AUTOMATIC)

    def touch(self, in_use: Index) -> None:
        """Note that an index is in use, if it still exists."""
        with self._transaction() as writer:
            for index in self._lock(writer, in_use.list):
                if (index.prefix, index.origin) == (in_use.prefix, AUTOMATIC):
                    writer.indexes.touch(index)

    def drop_unused(self, now: int) -> None:
        """Drop the indexes that were not noted as used for long, at the time *now* in ms."""
        unused = indexes.c.origin == AUTOMATIC, indexes.c.since < now - UNUSED_MS
        with self._read_session() as session:
            lists = session.connection.execute(select_lists(*unused)).scalars().all()
        for name in lists:
            with self._transaction() as writer:
                for index in self._lock(writer, name):
                    if index.origin == AUTOMATIC and index.since < now - UNUSED_MS:
                        writer.indexes.drop(index)

    @staticmethod
    def _lock(writer: Writer, name: str) -> tuple[Index, ...]:
        """Lock a list and return its indexes: none where a flush has deleted it meanwhile."""
        return writer.indexes.of(name) if writer.lock((name,)) else ()
