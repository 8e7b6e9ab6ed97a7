"""Remove the clocks of lists that no longer exist, once no client and no later list depends on them.

Theory of operation:

- A clock outlives its list, because a list that starts again must not give out timestamps that it gave out before. A
  list without a clock starts at the present, with this `floor`, so that clients of the former list start over. So a
  clock is not needed if it is below the present of every web server: `MIN_AGE_MS` is more than their clocks differ.
- It is removed when purge has removed the parent's tombstone, and all memberships that ended in the list, which purge
  finds by the clock. Rows of objects and grants were deleted with the parent.
- The conditions are checked again under the lock of the clock. If the parent was created again meanwhile, its list has
  started again and its clock is new. If it is created later, the upsert that starts the list inserts the clock.

    DELETE FROM clocks WHERE bucket = '/buckets/b' AND list IN ('/buckets/b/collections/c/records') AND ...
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Delete, Select, Text, bindparam, delete, func, literal_column, select

from backends.storage.keys import list_of, read_bucket
from backends.storage.maintenance import Maintenance
from backends.storage.tables import clocks, documents, members, parent_of

MIN_AGE_MS: Final = 24 * 3_600_000
"""How old a clock must be, in ms."""

_ONE: Final = literal_column("1", BigInteger)
_BUCKET: Final = bindparam("of_bucket", type_=Text)
_OF_LISTS: Final = clocks.c.bucket == _BUCKET, clocks.c.list.in_(bindparam("lists", expanding=True, type_=Text))
_OBJECT: Final = select(documents.c.uri).where(documents.c.bucket == _BUCKET, documents.c.uri == bindparam("of_uri"))


class DeadClocks(Maintenance):
    """The removal of clocks."""

    def find(self, bucket: str, lists: Collection[str], limit: int) -> Sequence[str]:
        """Return those lists of a bucket that no longer exist and whose clocks are below the timestamp *limit*."""
        with self._read_session() as session:
            return _select_dead(session.connection, bucket, lists, limit)

    def remove(self, bucket: str, lists: Collection[str], limit: int) -> None:
        """Remove the clocks of those lists that still are as `find` requires and have no memberships."""
        with self._transaction() as writer:
            writer.lock(lists)
            dead = _select_dead(writer.connection, bucket, lists, limit)
            if dead:
                writer.connection.execute(_DELETE, {"of_bucket": bucket, "lists": dead})


def _select_dead(connection: Connection, bucket: str, lists: Collection[str], limit: int) -> Sequence[str]:
    values = {"of_bucket": bucket, "lists": [*lists], "limit": limit}
    dead = connection.execute(_DEAD, values).scalars().all()
    if bucket not in map(list_of, dead):
        return dead
    # The tombstone of a bucket is stored in the directory only.
    tombstone = connection.execute(_OBJECT, {"of_bucket": read_bucket(bucket), "of_uri": bucket}).first()
    return [name for name in dead if tombstone is None or list_of(name) != bucket]


def _build_dead() -> Select[Any]:
    """Return the statement of old clocks without a parent in their bucket.

    A scalar subquery, not EXISTS: the planner may turn EXISTS into a join that reads a whole table.
    """
    parent, limit = parent_of(clocks.c.list), bindparam("limit", type_=BigInteger)
    of_parent = select(_ONE).where(documents.c.bucket == _BUCKET, documents.c.uri == parent).limit(_ONE)
    return select(clocks.c.list).where(
        *_OF_LISTS,
        parent != "",
        clocks.c.last_modified < limit,
        func.coalesce(clocks.c.former, 0) < limit,
        of_parent.scalar_subquery().is_(None),
    )


def _build_delete() -> Delete:
    name = clocks.c.list
    memberships = select(_ONE).where(members.c.principal > name.concat("/"), members.c.principal < name.concat("0"))
    return delete(clocks).where(*_OF_LISTS, memberships.limit(_ONE).scalar_subquery().is_(None))


_DEAD: Final = _build_dead()
_DELETE: Final = _build_delete()
