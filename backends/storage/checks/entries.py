"""Check the keys and terms that indexes have of the objects of a list; a wrong index is built again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Text, bindparam, or_, select, tuple_, update

from backends.codec import loads
from backends.storage import bucket_of
from backends.storage.checks.run import PAGE, CheckRun, Finding
from backends.storage.dialect import Dialect
from backends.storage.index_keys import object_key
from backends.storage.index_terms import terms_of
from backends.storage.indexes import REFUSED, Index, read_definition
from backends.storage.tables import ENTRIES, documents, indexes
from backends.storage.writes import Writer

_MAX_OBJECTS: Final = 100
"""The number of objects whose documents are read together."""

_BUCKET: Final = bindparam("of_bucket", type_=Text)
_AFTER: Final = bindparam("after", type_=Text)
_LISTS: Final = (
    select(indexes.c.bucket, indexes.c.list)
    .where(tuple_(indexes.c.bucket, indexes.c.list) > tuple_(bindparam("after_bucket"), bindparam("after_list")))
    .group_by(indexes.c.bucket, indexes.c.list)
    .order_by(indexes.c.bucket, indexes.c.list)
    .limit(PAGE)
)
_INDEXES: Final = (
    select(indexes)
    .where(indexes.c.bucket == _BUCKET, indexes.c.list == bindparam("of_list", type_=Text))
    .order_by(indexes.c.bucket, indexes.c.list, indexes.c.slot)
)
_CLEAR_TOMBSTONES: Final = (
    update(documents)
    .where(documents.c.bucket == _BUCKET, documents.c.list == bindparam("of_list", type_=Text), documents.c.deleted)
    .where(or_(*(documents.c[name].is_not(None) for name in ENTRIES)))
    .values(dict.fromkeys(ENTRIES))
)
"""Removes entries that the builder leaves, which gives living objects theirs."""


class EntryStatements:
    """The statements that read the objects of a list with their entries."""

    def __init__(self, dialect: Dialect) -> None:
        columns = documents.c.uri, documents.c.deleted, dialect.text(documents.c.data).label("text")
        objects = select(*columns, *(documents.c[name] for name in ENTRIES)).where(documents.c.bucket == _BUCKET)
        in_list = documents.c.uri < bindparam("last", type_=Text), documents.c.list == bindparam("of_list", type_=Text)
        many = bindparam("many", type_=BigInteger)
        self.objects = objects.where(documents.c.uri > _AFTER, *in_list).order_by(documents.c.uri).limit(many)
        self.object = objects.where(documents.c.uri == _AFTER)


class EntryExamination:
    """The examination of all indexes; `has_rebuilt` is whether one of them is to be built again."""

    def __init__(self, run: CheckRun, statements: EntryStatements) -> None:
        self._run = run
        self._statements = statements
        self.has_rebuilt = False

    def run(self) -> None:
        """Examine the indexes of all lists."""
        after = {"after_bucket": "", "after_list": ""}
        while lists := self._run.read(_LISTS, after):
            for _, name in lists:
                self._examine(name)
            after = {"after_bucket": lists[-1].bucket, "after_list": lists[-1].list}

    def _examine(self, name: str) -> None:
        """Examine the indexes of a list, each up to the first wrong entry."""
        values = {"of_bucket": bucket_of(name), "of_list": name}
        pending = {row.slot: _index_of(row) for row in self._run.read(_INDEXES, values)}
        after, size = f"{name}/", _MAX_OBJECTS
        while size == _MAX_OBJECTS and pending:
            bounds = {"after": after, "last": f"{name}0", "many": _MAX_OBJECTS}
            rows = self._run.read(self._statements.objects, {**values, **bounds})
            size = len(rows)
            for row in rows:
                for index in [index for index in pending.values() if _is_wrong(index, row)]:
                    del pending[index.slot]
                    self._confirm(index, row.uri)
                after = row.uri

    def _confirm(self, suspect: Index, uri: str) -> None:
        self._run.confirm(
            (suspect.list,), lambda writer: [*self._examine_again(writer, writer.connection, suspect, uri)]
        )

    def _examine_again(self, writer: Writer, connection: Connection, suspect: Index, uri: str) -> Iterator[Finding]:
        name = suspect.list
        values = {"of_bucket": bucket_of(name), "of_list": name}
        row = connection.execute(self._statements.object, {**values, "after": uri}).first()
        current = map(_index_of, connection.execute(_INDEXES, values).all())
        index = next((index for index in current if index.prefix == suspect.prefix), None)
        if row is None or index is None or not _is_wrong(index, row):
            return
        if self._run.repair:
            connection.execute(_CLEAR_TOMBSTONES, values)
            writer.indexes.rebuild(name)
            self.has_rebuilt = True
        fault = f"its index {index.definition.text()} has a wrong entry of {uri}"
        yield Finding(name, fault, "the indexes of the list are built again" if self._run.repair else "")


def _index_of(row: Any) -> Index:
    definition = read_definition(row.definition)
    return Index(row.list, row.slot, bytes.fromhex(row.prefix), definition, row.origin, row.state)


def _is_wrong(index: Index, row: Any) -> bool:
    """Return whether an object has another key than an index must have, or lacks terms.

    What a former index left there has another prefix. An index that is being built has no entries of some objects.
    """
    if not index.is_built and index.state != REFUSED:
        return False
    document = loads(row.text)
    if not index.definition.is_keyed:
        return not row.deleted and not set(terms_of([index], document)) <= set(_terms(row.terms))
    key = None if row.deleted else object_key(index, document)[0]
    stored = bytes(getattr(row, f"k{index.slot}") or b"")
    return (stored if stored.startswith(index.prefix) else None) != key


def _terms(stored: Any) -> Sequence[int]:
    terms: Sequence[int] = json.loads(stored) if isinstance(stored, str) else stored or ()
    return terms
