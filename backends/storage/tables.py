"""The tables. Every key begins with the bucket, so that a cluster can keep a bucket in one place.

documents  an object or its tombstone; one at the top stands twice, under its own bucket and in the directory
grants     who could do what, since when, until when (`LIVING`: still)
clocks     a list's newest timestamp (its row is the lock), where its present life began, how many objects live in it
members    who was in which group, since when, until when
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table, Text, func, literal_column
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.elements import ColumnElement

from backends.storage import LIVING

metadata: Final = MetaData()

_Key = Text().with_variant(Text(collation="C"), "postgresql")
_Json = Text().with_variant(JSONB(), "postgresql")


def last_segment(path: ColumnElement[str]) -> ColumnElement[str]:
    """Return what follows the last `/` of a path: of a list the name of its kind, of an object its id.

    It is written out without bound values, since an index serves it.
    """
    slash, nothing = literal_column("'/'", Text), literal_column("''", Text)
    before = func.length(func.rtrim(path, func.replace(path, slash, nothing)))
    return func.substr(path, before + literal_column("1", Integer), type_=Text)


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
    Index("documents_in_list", "bucket", "list", "deleted", "last_modified", "uri"),
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
    Index("grants_of_principal", "principal", "list", "until", "uri", "bucket"),
)

# Only what has not ended, by kind of object in the order of the URIs: what `GET /permissions` pages through.
_living: Final = grants.c.until == literal_column(str(LIVING), BigInteger)
Index(
    "grants_in_order",
    grants.c.principal,
    last_segment(grants.c.list),
    grants.c.uri,
    grants.c.permission,
    postgresql_where=_living,
    sqlite_where=_living,
)

clocks: Final = Table(
    "clocks",
    metadata,
    Column("bucket", _Key, primary_key=True),
    Column("list", _Key, primary_key=True),
    Column("last_modified", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
)

members: Final = Table(
    "members",
    metadata,
    Column("user_id", _Key, primary_key=True),
    Column("principal", _Key, primary_key=True),
    Column("since", BigInteger, primary_key=True),
    Column("until", BigInteger, nullable=False),
    Index("members_of_group", "principal"),
)
