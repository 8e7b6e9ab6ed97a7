"""The check that the users whom the document of a group names are its members.

A group may name users who are no members: those whose object was deleted after the group was written. A user of that
name who is created later inherits nothing. So a name without a membership is a fault only

- if no membership has ended since the group was written, and none can have been purged (`floor`),
- and, for users that are objects themselves, if the object lives and is older than the group, by a day: the deletion of
  a user in the batch that writes the group leaves no membership.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Select, and_, bindparam, false, func, literal, literal_column, or_, select, true
from sqlalchemy.sql.elements import ColumnElement

from backends.storage.checks.check import DAY_MS, FOREVER, ONE, Check, Mender, Row, RowChecks, is_missing
from backends.storage.checks.intervals import next_stamp
from backends.storage.dialect import Dialect
from backends.storage.tables import clocks, documents, members, parent_of


def group_checks(dialect: Dialect, groups: Sequence[str], users: Sequence[tuple[str, str]]) -> RowChecks:
    """Return the check on groups; *groups* and *users* are those of a scope."""
    group = documents.c
    names = dialect.elements(group.data, "members")
    user = names.c.value
    of_user = members.c.user_id == user, members.c.principal == group.uri
    # Also if it has not ended, which is later than any other end.
    has_none = is_missing(members, *of_user, members.c.until >= group.last_modified)
    of_list = clocks.c.bucket == group.bucket, clocks.c.list == parent_of(group.uri)
    left_out = (
        has_none,
        is_missing(clocks, *of_list, clocks.c.floor >= group.last_modified),
        *(_is_older(user, beginning, name) for beginning, name in users),
    )

    def join(mender: Mender, row: Row) -> str:
        without = select(user).select_from(documents.join(names, true())).where(*left_out)
        return _join(mender, row, dialect, without)

    is_group = or_(false(), *(group.list.like(pattern, escape="\\") for pattern in groups))
    wrong = and_(is_group, ~group.deleted, group.bucket != group.uri, ~is_missing(names, *left_out))
    words = "its document names users who are no members"
    return RowChecks(documents, ("bucket", "uri"), "uri", (Check(wrong, words, join),))


def _is_older(user: ColumnElement[Any], beginning: str, name: str) -> ColumnElement[bool]:
    """Return the condition that a user is none of the objects of the list *name*, or one that is older than the group.

    The principals of these objects begin with *beginning*.
    """
    size = literal_column(str(len(beginning)), BigInteger)
    object_of = documents.alias()
    uri = literal(f"{name}/").concat(func.substr(user, size + ONE))
    is_before = object_of.c.last_modified < documents.c.last_modified - DAY_MS
    older = object_of.c.bucket == name, object_of.c.uri == uri, ~object_of.c.deleted, is_before
    return or_(func.substr(user, ONE, size) != beginning, ~is_missing(object_of, *older))


def _join(mender: Mender, row: Row, dialect: Dialect, left_out: Select[Any]) -> str:
    """Begin the memberships of the users that are left out."""
    of_group = documents.c.bucket == row["bucket"], documents.c.uri == row["uri"]
    users = mender.execute(left_out.where(*of_group)).scalars().all()
    stamp = next_stamp(mender, row["uri"])
    statement = dialect.insert(members).values(
        user_id=bindparam("joined"), principal=row["uri"], since=stamp, until=FOREVER
    )
    again = statement.on_conflict_do_update(
        index_elements=list(members.primary_key), set_={"until": statement.excluded.until}
    )
    for name in sorted(set(users)):
        mender.execute(again, {"joined": name})
    return f"{len(set(users))} membership(s) begun"
