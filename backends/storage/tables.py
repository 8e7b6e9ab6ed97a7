"""The tables. Every key begins with the bucket, so that a cluster can store each bucket on one machine.

documents  an object or its tombstone; an object at the top has two rows, under its own bucket and in the directory.
           `k1` to `k4` are its keys in the indexes of its list, NULL where an index does not have it; `terms` are its
           terms in those by texts and elements, NULL without any
grants     a permission of a principal on an object, from `since` until `until` (`LIVING`: not ended)
indexes    an index of a list; `slot` is the number of its column in `documents` (`backends.storage.index_keys`), or
           above these, of an index by texts or elements (`backends.storage.index_terms`)
clocks     the newest timestamp of a list (the row is the lock), its `floor`, the number of its living objects, and
           `former`, its highest timestamp before `kinto check --repair` set it back, NULL if that never happened
members    a membership of a user in a group, from `since` until `until`

Constraints limit every timestamp (0 to `LATEST`; `until` may be `LIVING`). The values that clients choose are checked
when a request is parsed, so that no request violates a constraint.

`data` is JSONB on PostgreSQL and converted to text when it is read. A second column with the text would spare lists
this, but a filter without an index would read a table 1.7 times as big (docs/performance.md, "Documents as text").

`terms` is an array with a GIN index on PostgreSQL. On SQLite it is JSON; triggers keep the elements of all arrays in a
table `terms` (bucket, term, uri), which is what that index is on PostgreSQL.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.elements import ColumnElement

from backends.storage import LATEST, LIVING
from backends.storage.indexes import KEY_SLOTS

metadata: Final = MetaData()


def _index_of_ended(name: str, *columns: str) -> Index:
    """Return an index of ended rows only, which writes of living rows do not have to update."""
    ended = text(f"until < {LIVING}")
    return Index(name, *columns, sqlite_where=ended, postgresql_where=ended)


_Key = Text().with_variant(Text(collation="C"), "postgresql")
_Json = Text().with_variant(JSONB(), "postgresql")

_Terms = Text().with_variant(ARRAY(BigInteger), "postgresql")

KEYS: Final = tuple(f"k{slot}" for slot in KEY_SLOTS)
"""The names of the columns for keys."""

TERMS: Final = "terms"
"""The name of the column for terms."""

ENTRIES: Final = (*KEYS, TERMS)
"""The names of the columns for what indexes have of an object."""


def last_segment(path: ColumnElement[str]) -> ColumnElement[str]:
    """Return the text after the last `/` of a path: the plural name of the kind for a list, the id for an object.

    It has no bound values, since an index is defined by it.
    """
    slash, nothing = literal_column("'/'", Text), literal_column("''", Text)
    before = func.length(func.rtrim(path, func.replace(path, slash, nothing)))
    return func.substr(path, before + literal_column("1", Integer), type_=Text)


def parent_of(name: ColumnElement[str]) -> ColumnElement[str]:
    """Return the URI of the object that contains a list, the empty string for a list at the top."""
    return func.rtrim(func.rtrim(name, func.replace(name, "/", "")), "/", type_=Text)


_RANGE: Final = f"BETWEEN 0 AND {LATEST}"
_INTERVAL: Final = f"since {_RANGE} AND (until = {LIVING} OR until {_RANGE})"

documents: Final = Table(
    "documents",
    metadata,
    Column("bucket", _Key, primary_key=True),
    Column("uri", _Key, primary_key=True),
    Column("list", _Key, nullable=False),
    Column("born", BigInteger, nullable=False),
    Column("last_modified", BigInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("data", _Json, nullable=False),
    *(Column(name, LargeBinary) for name in KEYS),
    Column(TERMS, _Terms),
    CheckConstraint(f"born {_RANGE} AND last_modified {_RANGE}", "documents_range"),
    Index("documents_in_list", "bucket", "list", "deleted", "last_modified", "uri"),
)

CONTENTS: Final = tuple(column for column in documents.c if column.name not in ENTRIES)
"""The columns of documents without entries of indexes."""

for _name in KEYS:
    _has_key = text(f"{_name} IS NOT NULL")
    Index(
        f"documents_by_{_name}",
        documents.c.bucket,
        documents.c[_name],
        postgresql_where=_has_key,
        sqlite_where=_has_key,
    )

# Without fastupdate a write adds its terms at once: no search has to scan a list of pending ones, no write is delayed
# by all of them.
Index(
    "documents_by_terms",
    documents.c.terms,
    postgresql_using="gin",
    postgresql_where=text("terms IS NOT NULL"),
    postgresql_with={"fastupdate": "off"},
).ddl_if(dialect="postgresql")

indexes: Final = Table(
    "indexes",
    metadata,
    Column("bucket", _Key, primary_key=True),
    Column("list", _Key, primary_key=True),
    Column("slot", SmallInteger, primary_key=True),
    Column("prefix", _Key, nullable=False),
    Column("definition", _Key, nullable=False),
    Column("origin", _Key, nullable=False),
    Column("state", _Key, nullable=False),
    Column("done", _Key, nullable=False),
    Column("since", BigInteger, nullable=False),
    CheckConstraint(f"slot BETWEEN 1 AND 8 AND since {_RANGE}", "indexes_range"),
)

grants: Final = Table(
    "grants",
    metadata,
    Column("bucket", _Key, primary_key=True),
    Column("uri", _Key, primary_key=True),
    Column("list", _Key, nullable=False),
    Column("permission", _Key, primary_key=True),
    Column("principal", _Key, primary_key=True),
    Column("since", BigInteger, primary_key=True),
    Column("until", BigInteger, nullable=False),
    CheckConstraint(_INTERVAL, "grants_range"),
    Index("grants_of_principal", "principal", "list", "until", "uri", "bucket"),
    _index_of_ended("grants_ended", "bucket", "list", "until", "uri"),
)

HELD_ANYWHERE: Final = -grants.c.until == literal_column(str(-LIVING), BigInteger)
"""The condition of living grants in statements that name a principal but no list, and in the index for them.

It is not written as `until = LIVING`, so that no other statement can use this index: to find the grants on one object,
a scan would pass over all grants of the principal, and without statistics PostgreSQL chooses the smaller index. It has
`until`, the same in all its rows, since SQLite prefers an index that has all columns of a query.
"""
Index(
    "grants_in_order",
    grants.c.principal,
    last_segment(grants.c.list),
    grants.c.uri,
    grants.c.permission,
    grants.c.until,
    postgresql_where=HELD_ANYWHERE,
    sqlite_where=HELD_ANYWHERE,
)

clocks: Final = Table(
    "clocks",
    metadata,
    Column("bucket", _Key, primary_key=True),
    Column("list", _Key, primary_key=True),
    Column("last_modified", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("former", BigInteger),
    # A row with the floor 0 is never stored: the upsert that moves a clock proposes it, its count being the change.
    CheckConstraint(
        f"last_modified {_RANGE} AND floor {_RANGE} AND former >= 0 AND (count >= 0 OR floor = 0)", "clocks_range"
    ),
)

members: Final = Table(
    "members",
    metadata,
    Column("user_id", _Key, primary_key=True),
    Column("principal", _Key, primary_key=True),
    Column("since", BigInteger, primary_key=True),
    Column("until", BigInteger, nullable=False),
    CheckConstraint(_INTERVAL, "members_range"),
    Index("members_of_group", "principal", "until", "user_id"),
    _index_of_ended("members_ended", "principal", "until", "user_id", "since"),
)
