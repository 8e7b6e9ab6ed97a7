"""The rows of a storage, and the rules that every committed state of them keeps (docs/architecture.md, The tables)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, select

from backends.storage import LIVING, at_top, bucket_of, list_of, read_bucket, write_buckets
from backends.storage.index_keys import object_key
from backends.storage.index_terms import terms_of
from backends.storage.indexes import REFUSED, Index, read_definition
from backends.storage.tables import clocks, documents, grants, indexes, members

Rows = dict[tuple[str, ...], Any]


@dataclass(frozen=True)
class Tables:
    """All rows: documents by (bucket, uri), clocks by (bucket, list), and lists of grants, memberships and indexes.

    `terms` is the table of terms of SQLite.
    """

    documents: Rows
    clocks: Rows
    grants: list[Any]
    members: list[Any]
    indexes: list[Any]
    terms: list[tuple[str, int, str]] | None

    @property
    def living(self) -> set[str]:
        """Return the URIs of living objects."""
        return {row.uri for row in self.documents.values() if not row.deleted and row.bucket == read_bucket(row.uri)}

    @property
    def memberships(self) -> set[tuple[str, str]]:
        """Return the memberships: pairs of user and group."""
        return {(row.user_id, row.principal) for row in self.members if row.until == LIVING}

    @property
    def granted(self) -> set[tuple[str, ...]]:
        """Return the living grants."""
        return {(row.bucket, row.uri, row.permission, row.principal) for row in self.grants if row.until == LIVING}


def read_tables(connection: Connection) -> Tables:
    """Read all rows."""
    sqlite = connection.dialect.name == "sqlite"
    return Tables(
        {(row.bucket, row.uri): row for row in connection.execute(select(documents))},
        {(row.bucket, row.list): row for row in connection.execute(select(clocks))},
        list(connection.execute(select(grants))),
        list(connection.execute(select(members))),
        list(connection.execute(select(indexes))),
        [tuple(row) for row in connection.exec_driver_sql("SELECT * FROM terms")] if sqlite else None,
    )


def snapshot_engine(url: str) -> Engine:
    """Return an engine whose transactions see one moment of the database."""
    if url.startswith("sqlite"):
        engine = create_engine(url, poolclass=NullPool)
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        return engine
    place = url.replace("postgresql://", "postgresql+psycopg2://")
    return create_engine(place, isolation_level="REPEATABLE READ", poolclass=NullPool)


def _leave_transactions_to_us(connection: Any, _: Any) -> None:
    connection.isolation_level = None


def faults(tables: Tables) -> list[str]:
    """Return the faults of the rows, a line for each."""
    return [
        *_of_documents(tables),
        *_of_clocks(tables),
        *_of_intervals(tables),
        *_of_indexes(tables),
        *_of_terms(tables),
    ]


def _of_documents(tables: Tables) -> Iterator[str]:
    living = tables.living
    stamps = Counter(
        (list_of(uri), row.last_modified)
        for (bucket, uri), row in tables.documents.items()
        if bucket == read_bucket(uri)
    )
    yield from (
        f"two objects of {name} have the timestamp {stamp}" for (name, stamp), many in stamps.items() if many > 1
    )
    for (bucket, uri), row in tables.documents.items():
        document = row.data if isinstance(row.data, dict) else json.loads(row.data)
        parent = list_of(row.list) if row.list.count("/") > 1 else None
        if row.list != list_of(uri) or bucket not in write_buckets(uri):
            yield f"{uri} is stored in {row.list} of {bucket}"
        if (document["id"], document["last_modified"]) != (uri.rpartition("/")[2], row.last_modified):
            yield f"the document of {uri} has another id or timestamp than its row"
        if parent is not None and parent not in living:
            yield f"{uri} is an orphan"
        if at_top(uri):
            yield from _of_copies(tables, bucket, uri, row)


def _of_indexes(tables: Tables) -> Iterator[str]:
    """Yield the faults of entries: objects of a built index have theirs, tombstones no key."""
    documents_of: dict[str, list[Any]] = {}
    for document in tables.documents.values():
        documents_of.setdefault(document.list, []).append(document)
    for row in tables.indexes:
        parent = list_of(row.list)
        if parent not in tables.living:
            yield f"{row.list} has an index although {parent} is gone"
        index = Index(
            row.list, row.slot, bytes.fromhex(row.prefix), read_definition(row.definition), row.origin, row.state
        )
        if index.state != REFUSED and not index.is_built:
            continue
        for document in documents_of.get(row.list, ()):
            data = document.data if isinstance(document.data, dict) else json.loads(document.data)
            if not index.definition.is_keyed:
                missing = set() if document.deleted else {*terms_of([index], data)} - {*_terms(document)}
                if missing:
                    yield f"{document.uri} lacks {len(missing)} terms of {index.definition.text()}"
                continue
            expected = None if document.deleted else object_key(index, data)[0]
            stored = bytes(getattr(document, f"k{row.slot}") or b"")
            if (stored if stored.startswith(index.prefix) else None) != expected:
                yield f"{document.uri} has a wrong key in {index.definition.text()}"


def _of_terms(tables: Tables) -> Iterator[str]:
    """Yield the faults of the table that SQLite keeps of all terms."""
    expected = {
        (bucket, term, uri) for (bucket, uri), document in tables.documents.items() for term in _terms(document)
    }
    if tables.terms is not None and set(tables.terms) != expected:
        yield f"terms of {sorted({row[2] for row in expected ^ set(tables.terms)})} are wrong"


def _terms(document: Any) -> list[int]:
    stored: list[int] = json.loads(document.terms) if isinstance(document.terms, str) else document.terms or []
    return stored


def _of_copies(tables: Tables, bucket: str, uri: str, row: Any) -> Iterator[str]:
    """Yield the faults of an object at the top: while it lives, the directory and its own bucket store it alike."""
    other = tables.documents.get((bucket_of(uri) if bucket == read_bucket(uri) else read_bucket(uri), uri))
    if (other is None) != bool(row.deleted):
        yield f"{uri} has {'a' if other else 'no'} copy beside {bucket}"
    elif other is not None and tuple(other)[1:] != tuple(row)[1:]:
        yield f"the copies of {uri} differ"


def _of_clocks(tables: Tables) -> Iterator[str]:
    counts: Counter[str] = Counter(map(list_of, tables.living))
    newest: dict[str, int] = {}
    for (bucket, uri), row in tables.documents.items():
        if bucket == read_bucket(uri):
            newest[row.list] = max(newest.get(row.list, 0), row.last_modified)
    for (bucket, name), clock in tables.clocks.items():
        parent = list_of(name) if name.count("/") > 1 else None
        if bucket != bucket_of(name):
            yield f"the clock of {name} is stored in {bucket}"
        if parent is not None and parent not in tables.living:
            continue
        if clock.count != counts[name]:
            yield f"{name} counts {clock.count} and holds {counts[name]}"
        if clock.last_modified < newest.get(name, 0):
            yield f"{name} is at {clock.last_modified} and holds {newest[name]}"
        if clock.floor > clock.last_modified:
            yield f"{name} starts at {clock.floor}, above its clock {clock.last_modified}"
    expected = {name for _, name in tables.clocks}
    yield from (f"{name} has objects and no clock" for name in newest.keys() - expected)


def _of_intervals(tables: Tables) -> Iterator[str]:
    living = tables.living
    times = {name: clock.last_modified for (_, name), clock in tables.clocks.items()}
    rows: list[tuple[str, tuple[str, ...], Any]] = [
        *((row.uri, (row.bucket, row.uri, row.permission, row.principal), row) for row in tables.grants),
        *((row.principal, (row.user_id, row.principal), row) for row in tables.members),
    ]
    yield from (
        f"{key} began twice and has not ended" for key in _twice(key for _, key, row in rows if row.until == LIVING)
    )
    for uri, key, row in rows:
        # What begins or ends while the clock stays is stamped one above it.
        if row.since > times.get(list_of(uri), 0) + 1 or LIVING > row.until > times.get(list_of(uri), 0) + 1:
            yield f"{key} has a timestamp that its list has not reached: {row.since} to {row.until}"
        if row.since > row.until:
            yield f"{key} ended before it began: {row.since} to {row.until}"
        if row.until == LIVING and uri not in living:
            yield f"{key} goes on although {uri} is gone"
    copies = {(uri, permission, principal): set[str]() for _, uri, permission, principal in tables.granted}
    for bucket, uri, permission, principal in tables.granted:
        copies[uri, permission, principal].add(bucket)
    yield from (
        f"{grant} is in {buckets} alone" for grant, buckets in copies.items() if buckets != set(write_buckets(grant[0]))
    )


def _twice(keys: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [key for key, many in Counter(keys).items() if many > 1]
