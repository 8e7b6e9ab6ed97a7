"""The tables. Every key begins with the bucket, so that a cluster can keep a bucket in one place.

documents  an object or its tombstone; one at the top stands twice, under its own bucket and in the directory
grants     who could do what, since when, until when (`LIVING`: still)
clocks     a list's newest timestamp (its row is the lock), where its present life began, how many objects live in it,
           and the highest timestamp that it had before `kinto check --repair` set it back, NULL where it never did
members    who was in which group, since when, until when

Constraints bound every timestamp (0 to `LATEST`, `until` may be `LIVING`). What clients choose is bounded where it is
read, so that no request meets a constraint.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.elements import ColumnElement

from backends.storage import LATEST, LIVING

metadata: Final = MetaData()


def _index_ended(name: str, *columns: str) -> Index:
    """Make an index of the rows that have ended, which writes of living ones need not keep up."""
    ended = text(f"until < {LIVING}")
    return Index(name, *columns, sqlite_where=ended, postgresql_where=ended)


_Key = Text().with_variant(Text(collation="C"), "postgresql")
_Json = Text().with_variant(JSONB(), "postgresql")


def last_segment(path: ColumnElement[str]) -> ColumnElement[str]:
    """Return what follows the last `/` of a path: of a list the name of its kind, of an object its id.

    It is written out without bound values, since an index serves it.
    """
    slash, nothing = literal_column("'/'", Text), literal_column("''", Text)
    before = func.length(func.rtrim(path, func.replace(path, slash, nothing)))
    return func.substr(path, before + literal_column("1", Integer), type_=Text)


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
    CheckConstraint(f"born {_RANGE} AND last_modified {_RANGE}", "documents_range"),
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
    CheckConstraint(_INTERVAL, "grants_range"),
    Index("grants_of_principal", "principal", "list", "until", "uri", "bucket"),
    _index_ended("grants_ended", "bucket", "list", "until", "uri"),
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
    Column("former", BigInteger),
    # A row with the floor 0 is never stored: the upsert that moves a clock proposes it, with the change of the count.
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
    _index_ended("members_ended", "principal", "until", "user_id", "since"),
)
