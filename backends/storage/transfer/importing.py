"""Write the entries of a dump in one writing transaction: into an empty storage, or as a new bucket of any storage.

Nobody reads a row before the COMMIT, and after an error there is none. Objects have no keys and terms: their indexes
are `building`, and the index builder adds these.

A bucket that is new to a storage starts as one that a client creates: the list of buckets gives it a timestamp, at
which its own permissions begin. What is in it keeps its timestamps. Where a bucket of this name was deleted, its lists
get clocks and floors above those that they had, so that clients of the former bucket synchronise from the beginning.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Table, update

from backends import BackendError
from backends.codec import dumps, loads
from backends.storage import LIVING, Selection, bucket_of, list_of, read_bucket, write_buckets
from backends.storage.dialect import Dialect
from backends.storage.index_keys import new_prefix
from backends.storage.indexes import BUILDING, assign_slots, read_definition
from backends.storage.tables import clocks, documents, grants, indexes, members
from backends.storage.transfer.entries import Entry, ListEntry, ObjectEntry, clock_row, document_row
from backends.storage.transfer.mark import REFUSAL, is_marked
from backends.storage.transfer.rows import RowBuffer, TableRows
from backends.storage.writes import Writer


class NotEmpty(BackendError):
    """A storage holds data, and an empty one is expected."""


class BucketExists(BackendError):
    """A storage has a bucket of this name."""


def expect_empty(connection: Connection, dialect: Dialect, tables: Iterable[Table]) -> None:
    """Raise NotEmpty if a table has rows. A storage without data has the clocks of the lists at the top."""
    for table in tables:
        conditions = (table.c.bucket != table.c.list,) if table is clocks else ()
        if TableRows(table, dialect).has_any(connection, *conditions):
            raise NotEmpty(f"The storage holds data (in the table {table.name}): an empty one is expected.")


class Import:
    """Writes entries in a transaction of an empty storage, whose lists at the top are *lists*."""

    def __init__(self, writer: Writer, dialect: Dialect, lists: Sequence[str], tables: Sequence[Table]) -> None:
        self._connect(writer, dialect)
        self._clocks_at_top = writer.lock(lists)
        if is_marked(self._connection):
            raise NotEmpty(REFUSAL)
        expect_empty(self._connection, dialect, (documents, grants, members, indexes, clocks, *tables))

    def _connect(self, writer: Writer, dialect: Dialect) -> None:
        self._connection = writer.connection
        self._documents, self._grants, self._members, self._clocks, self._indexes = self._buffers = [
            RowBuffer(TableRows(table, dialect), self._connection)
            for table in (documents, grants, members, clocks, indexes)
        ]

    def add(self, entry: Entry) -> None:
        """Write an entry."""
        if isinstance(entry, ObjectEntry):
            self._add_object(entry)
        elif entry.list in self._clocks_at_top:
            self._update_clock(self._after_import(entry))
        else:
            self._add_list(entry)

    def finish(self) -> None:
        """Write the rows that wait."""
        for buffer in self._buffers:
            buffer.flush()

    def _add_object(self, entry: ObjectEntry) -> None:
        list_uri = list_of(entry.uri)
        for bucket in (read_bucket(entry.uri),) if entry.deleted else write_buckets(entry.uri):
            self._documents.add(document_row(bucket, entry))
            for grant in entry.grants:
                self._grants.add((bucket, entry.uri, list_uri, *grant))
        for user_id, since, until in entry.members:
            self._members.add((user_id, entry.uri, since, until))

    def _add_list(self, entry: ListEntry) -> None:
        self._clocks.add(clock_row(entry))
        now = time.time_ns() // 1_000_000
        slots = assign_slots(read_definition(index.definition) for index in entry.indexes)
        for index, slot in zip(entry.indexes, slots, strict=True):
            place = bucket_of(entry.list), entry.list, slot
            self._indexes.add((*place, new_prefix().hex(), index.definition, index.origin, BUILDING, "", now))

    def _after_import(self, entry: ListEntry) -> ListEntry:
        """Return the list as it is after the import; a dump of some buckets has no clock of it, and the floor 0."""
        if entry.floor:
            return entry
        present = self._clocks_at_top[entry.list].last_modified
        return replace(entry, last_modified=max(present, entry.last_modified), floor=present)

    def _update_clock(self, entry: ListEntry) -> None:
        columns = {name: getattr(entry, name) for name in ("last_modified", "floor", "count", "former")}
        place = clocks.c.bucket == bucket_of(entry.list), clocks.c.list == entry.list
        self._connection.execute(update(clocks).where(*place).values(columns))


class BucketImport(Import):
    """Writes the entries of one bucket, which the storage must not have, at a time in ms."""

    def __init__(self, writer: Writer, dialect: Dialect, uri: str) -> None:
        self._uri = uri
        self._list = list_of(uri)
        self._clocks_at_top = {}
        clock = writer.lock((self._list,), (uri,))[self._list]
        former = writer.read(Selection(read_bucket(uri), targets=(uri,))).objects.get(uri)
        if former is not None and not former.deleted:
            raise BucketExists(f"The storage has a bucket {uri}.")
        self._connect(writer, dialect)
        self._clock = clock
        self._stamp = max(time.time_ns() // 1_000_000, clock.last_modified + 1)
        self._born = former.born if former else self._stamp
        rows = TableRows(clocks, dialect)
        self._former = {
            name: ListEntry(name, last_modified, floor, 0, before)
            for _, name, last_modified, floor, _, before in rows.fetch(self._connection, clocks.c.bucket == uri)
        }
        rows.delete(self._connection, [(uri, name) for name in self._former])
        TableRows(documents, dialect).delete(self._connection, [(read_bucket(uri), uri)])

    def add(self, entry: Entry) -> None:
        """Write an entry; the bucket itself begins now."""
        if isinstance(entry, ListEntry):
            self._add_list(self._above_former(entry))
        elif entry.uri == self._uri:
            document = {**loads(entry.text), "last_modified": self._stamp}
            living = [grant._replace(since=self._stamp) for grant in entry.grants if grant.until == LIVING]
            new_entry = entry._replace(born=self._born, last_modified=self._stamp, text=dumps(document), grants=living)
            self._add_object(new_entry)
        else:
            self._add_object(entry)

    def finish(self) -> None:
        """Write the rows that wait, the lists that only the former bucket had, and the list of buckets."""
        for name in list(self._former):
            self._add_list(self._above_former(ListEntry(name, 0, 0, 0, None)))
        super().finish()
        place = clocks.c.bucket == self._list, clocks.c.list == self._list
        columns = {"last_modified": self._stamp, "count": self._clock.count + 1}
        self._connection.execute(update(clocks).where(*place).values(columns))

    def _above_former(self, entry: ListEntry) -> ListEntry:
        """Return a list with clock and floor above those that a list of this name had."""
        former = self._former.pop(entry.list, None)
        if former is None:
            return entry
        start = max(entry.last_modified, former.last_modified + 1, former.former or 0)
        return replace(entry, last_modified=start, floor=start, former=former.former or entry.former)
