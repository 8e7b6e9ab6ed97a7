"""Objects and lists as a dump has them, each with all that belongs to it: from rows of one snapshot, and to rows.

Entries come in sections: an object at the top, then all that is below it, each object before its parts and before what
is in it; last come the lists of the section, with their clocks. The lists at the top are before all of their objects.

    /buckets                                 the list of buckets
    /buckets/a                               a bucket, with the permissions that the directory has
    /buckets/a/collections/c                 an object, its permissions
    /buckets/a/collections/c/records/r
    /buckets/a/groups/g                      a group, its memberships
    /buckets/a/collections                   the lists of the bucket, their indexes
    /buckets/a/collections/c/records

The five tables are read once each, side by side, in this order. The copy of an object at the top in its own bucket is
left out: it is made again of the entry.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from sqlalchemy import Connection, or_
from sqlalchemy.sql.elements import ColumnElement

from backends.storage.dialect import Dialect
from backends.storage.keys import bucket_of, list_of
from backends.storage.objects import LIVING
from backends.storage.tables import clocks, documents, grants, indexes, members
from backends.storage.transfer.rows import Row, TableRows


class Grant(NamedTuple):
    """A permission of a principal on an object, from `since` until `until` (`LIVING`: not ended)."""

    permission: str
    principal: str
    since: int
    until: int = LIVING


class Membership(NamedTuple):
    """A membership of a user in a group."""

    user_id: str
    since: int
    until: int = LIVING


class ObjectEntry(NamedTuple):
    """An object or tombstone; `text` is its JSON document."""

    uri: str
    born: int
    last_modified: int
    deleted: bool
    text: str
    grants: Sequence[Grant] = ()
    members: Sequence[Membership] = ()


class IndexEntry(NamedTuple):
    """An index of a list: its definition as JSON, and its origin."""

    definition: str
    origin: str


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A list: the columns of its clock, and its indexes."""

    list: str
    last_modified: int
    floor: int
    count: int
    former: int | None
    indexes: Sequence[IndexEntry] = ()


Entry = ObjectEntry | ListEntry

Place = tuple[str, int, str]
"""The place of an entry in the order of a dump: its section, whether it is at the top (0), below (1) or a list (2)."""


def place_of_object(uri: str) -> Place:
    """Return the place of an object."""
    bucket = bucket_of(uri)
    return bucket, 0 if bucket == uri else 1, uri


def place_of_list(name: str) -> Place:
    """Return the place of a list."""
    return bucket_of(name), 2, name


_Item = tuple[Place, int, Row]
"""A row with its place, and the number of its table."""

_DOCUMENT, _GRANT, _MEMBER, _CLOCK, _INDEX = range(5)


class Export:
    """The entries of one snapshot; `orphans` counts the grants and memberships that belong to no object."""

    def __init__(self, connection: Connection, dialect: Dialect, buckets: Sequence[str] | None = None) -> None:
        self.orphans = 0
        self._connection = connection
        self._buckets = buckets
        self._documents, self._grants, self._members, self._clocks, self._indexes = (
            TableRows(table, dialect) for table in (documents, grants, members, clocks, indexes)
        )

    def count(self) -> int:
        """Return how many objects there are in all buckets, the copies at the top included."""
        return self._documents.count(self._connection)

    def missing_buckets(self) -> list[str]:
        """Return the *buckets* that do not exist."""
        uri = documents.c.uri
        return [
            bucket
            for bucket in self._buckets or ()
            if not self._documents.has_any(self._connection, documents.c.bucket == bucket, uri == bucket)
        ]

    def entries(self) -> Iterator[Entry]:
        """Yield all entries, or those of the *buckets* alone."""
        items = heapq.merge(
            *(self._of_objects(self._documents, _DOCUMENT)),
            *(self._of_objects(self._grants, _GRANT)),
            self._of_members(),
            self._of_lists(self._clocks, _CLOCK),
            self._of_lists(self._indexes, _INDEX),
            key=itemgetter(0),
        )
        for _, group in groupby(items, itemgetter(0)):
            rows: tuple[list[Row], ...] = ([], [], [], [], [])
            for _place, number, row in group:
                rows[number].append(row)
            if rows[_DOCUMENT]:
                yield _object_entry(rows)
            elif rows[_CLOCK]:
                yield _list_entry(rows)
            else:
                self.orphans += len(rows[_GRANT]) + len(rows[_MEMBER])

    def _of_objects(self, rows: TableRows, number: int) -> Iterator[Iterator[_Item]]:
        """Yield the rows of a table in the directory, and those below, without the copies of objects at the top."""
        bucket, uri = (rows.table.c[name] for name in ("bucket", "uri"))
        at_top = [bucket == rows.table.c.list, *self._in_buckets(uri)]
        below = [bucket != rows.table.c.list, bucket != uri, *self._in_buckets(bucket)]
        place = rows.places["uri"]
        for conditions in (at_top, below):
            batch = rows.read(self._connection, *conditions)
            yield ((place_of_object(row[place]), number, row) for row in batch)

    def _in_buckets(self, column: ColumnElement[str]) -> list[ColumnElement[bool]]:
        return [] if self._buckets is None else [column.in_(self._buckets)]

    def _of_members(self) -> Iterator[_Item]:
        group = members.c.principal
        inside = [] if self._buckets is None else [or_(*(group.between(f"{uri}/", f"{uri}0") for uri in self._buckets))]
        order = (members.c.principal, members.c.user_id, members.c.since)
        place = self._members.places["principal"]
        for row in self._members.read(self._connection, *inside, order=order):
            yield place_of_object(row[place]), _MEMBER, row

    def _of_lists(self, rows: TableRows, number: int) -> Iterator[_Item]:
        place = rows.places["list"]
        for row in rows.read(self._connection, *self._in_buckets(rows.table.c.bucket)):
            yield place_of_list(row[place]), number, row


def _object_entry(rows: Sequence[Sequence[Row]]) -> ObjectEntry:
    [(_, uri, _, born, last_modified, deleted, text, *_)] = rows[_DOCUMENT]
    return ObjectEntry(
        uri,
        born,
        last_modified,
        deleted,
        text,
        [Grant(*row[3:]) for row in rows[_GRANT]],
        [Membership(user_id, since, until) for user_id, _, since, until in rows[_MEMBER]],
    )


def _list_entry(rows: Sequence[Sequence[Row]]) -> ListEntry:
    [(_, name, last_modified, floor, count, former)] = rows[_CLOCK]
    return ListEntry(name, last_modified, floor, count, former, [IndexEntry(row[4], row[5]) for row in rows[_INDEX]])


_NO_ENTRIES: Final = (None,) * 5
"""The keys and terms of a document: the index builder adds them."""


def document_row(bucket: str, entry: ObjectEntry) -> Row:
    """Return the row of an object in a bucket."""
    return (
        bucket,
        entry.uri,
        list_of(entry.uri),
        entry.born,
        entry.last_modified,
        entry.deleted,
        entry.text,
        *_NO_ENTRIES,
    )


def clock_row(entry: ListEntry) -> Row:
    """Return the row of the clock of a list."""
    return bucket_of(entry.list), entry.list, entry.last_modified, entry.floor, entry.count, entry.former
