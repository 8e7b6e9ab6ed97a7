"""The statements that write indexes and keys, in one database dialect: built once and kept."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    LargeBinary,
    Select,
    Text,
    Update,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal_column,
    select,
    union_all,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from backends.storage.branches import indexes_branch
from backends.storage.dialect import Dialect
from backends.storage.indexes import KEY_SLOTS
from backends.storage.inserts import Inserts
from backends.storage.statements import Statement
from backends.storage.tables import KEYS, TERMS, documents, indexes

_BUCKET: Final = bindparam("of_bucket", type_=Text)
_OF_INDEX: Final = (
    indexes.c.bucket == _BUCKET,
    indexes.c.list == bindparam("of_list", type_=Text),
    indexes.c.slot == bindparam("of_slot", type_=BigInteger),
)
_FIRST, _LAST = bindparam("first", type_=Text), bindparam("last", type_=Text)
_CHANGING: Final = ("origin", "state", "done", "since")


def select_lists(*matching: ColumnElement[bool]) -> Select[Any]:
    """Return the statement of the lists with an index that meets the conditions, in order."""
    return select(indexes.c.list).where(*matching).distinct().order_by(indexes.c.list)


class IndexStatements:
    """The statements of indexes; they bind `of_bucket`, and those of one index `of_list` and `of_slot`.

    - `select`: the indexes of lists, as the branch `INDEX`.
    - `insert`, `change`, `delete`: one index. `delete_below`: the indexes of lists between two names.
    - `objects`: living objects with a URI between two, in this order.
    - `set_entries`: the keys and terms of objects between two URIs.
    - `same_values[slot]`: the objects that have one of some keys; `duplicates[slot]`: two objects with the same key.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.select = Statement(union_all(indexes_branch(dialect)))
        self.insert = Inserts(dialect.insert(indexes), [column.name for column in indexes.c])
        new = {name: bindparam(f"new_{name}", type_=indexes.c[name].type) for name in _CHANGING}
        self.change = Statement(update(indexes).where(*_OF_INDEX).values(new))
        self.delete = Statement(delete(indexes).where(*_OF_INDEX))
        below = indexes.c.list > _FIRST, indexes.c.list < _LAST
        self.delete_below = Statement(delete(indexes).where(indexes.c.bucket == _BUCKET, *below))
        self.objects = Statement(_build_objects(dialect))
        self.set_entries = Statement(_build_set_entries(dialect))
        self.same_values = {slot: Statement(_build_same_values(dialect, slot)) for slot in KEY_SLOTS}
        self.duplicates = {slot: Statement(_build_duplicates(slot)) for slot in KEY_SLOTS}


def _build_objects(dialect: Dialect) -> Select[Any]:
    """Return the statement of living objects. By their URIs alone: a list would lead to an index in another order.

    Those after the object that reaches `max_bytes` have no text; the first one always has.
    """
    objects = (
        select(documents.c.uri, documents.c.list, dialect.text(documents.c.data).label("text"))
        .where(documents.c.bucket == _BUCKET, documents.c.uri > _FIRST, documents.c.uri < _LAST, ~documents.c.deleted)
        .order_by(documents.c.uri)
        .limit(bindparam("many", type_=BigInteger))
        .subquery()
    )
    size = dialect.size(objects.c.text)
    before = func.sum(size).over(rows=(None, 0)) - size
    within = case((before < bindparam("max_bytes", type_=BigInteger), objects.c.text))
    return select(objects.c.uri, objects.c.list, within).order_by(objects.c.uri)


def _build_set_entries(dialect: Dialect) -> Update:
    """Return the statement that sets the keys and terms of objects.

    Only rows between the first and the last are read, whatever the database knows about the tables.
    """
    columns = [("uri", Text()), *((name, LargeBinary()) for name in KEYS), (TERMS, Text())]
    entries = dialect.bound_rows("entries", columns)
    new = {**{name: entries.c[name] for name in KEYS}, TERMS: cast(entries.c[TERMS], documents.c[TERMS].type)}
    return (
        update(documents)
        .where(documents.c.bucket == _BUCKET, documents.c.uri.between(_FIRST, _LAST), documents.c.uri == entries.c.uri)
        .values(new)
    )


def _build_same_values(dialect: Dialect, slot: int) -> Select[Any]:
    column = documents.c[f"k{slot}"]
    keys = dialect.bound_rows("keys", [("value", LargeBinary())])
    return dialect.look_up(
        select(documents.c.uri, column).where(documents.c.bucket == _BUCKET), keys, column == keys.c.value
    )


def _build_duplicates(slot: int) -> Select[Any]:
    column = documents.c[f"k{slot}"]
    low, high = bindparam("low", type_=LargeBinary), bindparam("high", type_=LargeBinary)
    return (
        select(func.min(documents.c.uri), func.max(documents.c.uri))
        .where(documents.c.bucket == _BUCKET, column >= low, column < high)
        .group_by(column)
        .having(func.count() > literal_column("1"))
        .limit(literal_column("1"))
    )
