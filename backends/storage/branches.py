"""The branches that reads are made of, each a SELECT in a UNION ALL with the same columns, and the readers.

Every row has the columns of `COLUMNS`; `source` is the number of the branch that it comes from. A column that a source
does not use is NULL, which costs least. Numbers are literals: each bound value costs time. The columns mean:

| source | columns |
|---|---|
| `GROUP` | a: principal, b: group |
| `GRANT` | a: URI, b: permission, c: principal |
| `CLOCK` | a: list, b: 'locked' or NULL, n: timestamp, m: number of living objects, d: `former` |
| `OBJECT` | a: URI, c: JSON text, n: timestamp, m: `born`, d: 1 for a tombstone, else NULL |
| `ROW` | as `OBJECT`, an object of the page; rank: its place in the page |
| `TOTAL` | n: a number of objects to add to the total |
| `FULL`, `SHARES` | n: 1 or NULL |
| `USER` | a: URI, b: field of the secret, c: secret (NULL: not a string), n: `born` |
| `MEMBER` | a: group, b: user |
| `INDEX` | a: list, b: definition, c: state, origin, prefix and `done`, n: slot, m: `since` |
| `PERMISSIONS` | a: URI, b: names of permissions, separated by spaces |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    FromClause,
    Select,
    Text,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement

from backends.storage import LIVING, User, list_of, read_bucket
from backends.storage.dialect import Dialect
from backends.storage.indexes import Index, read_definition
from backends.storage.tables import clocks, documents, grants, indexes, members

GROUP, GRANT, CLOCK, OBJECT, ROW, TOTAL, FULL, SHARES, USER, MEMBER, PERMISSIONS, INDEX = range(12)
COLUMNS: Final = ("source", "a", "b", "c", "n", "m", "d", "rank")
_NULLS: Final[Mapping[str, Any]] = {
    name: literal_column(f"CAST(NULL AS {'TEXT' if name in 'abc' else 'BIGINT'})").label(name) for name in COLUMNS[1:]
}


def integer(value: int) -> ColumnElement[int]:
    """Return an integer that is part of a statement."""
    return literal_column(str(value), BigInteger)


BUCKET: Final = bindparam("bucket", type_=Text)
LIVING_LITERAL: Final = integer(LIVING)
NO_DOCUMENT: Final = literal_column("'{}'", Text)

VALUE: Final = (("value", Text()),)
RANGE: Final = (("above", Text()), ("below", Text()))
"""The URIs below an object, between two bounds: `_` and `%` in ids must not act as wildcards (C-OBJ-60)."""

URI_AND_LIST: Final = (("uri", Text()), ("list", Text()))
"""An object and its list: an index of the grants begins with a principal, then has both."""


def branch(source: int, **columns: Any) -> Select[Any]:
    """Return a SELECT of the rows of one source; the columns that are not passed are NULL."""
    named: dict[str, Any] = {name: column.label(name) for name, column in columns.items()}
    return select(integer(source).label("source"), *{**_NULLS, **named}.values())


def flag(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """Return a column that is 1 where a condition is true, else NULL."""
    return case((condition, integer(1)))


def object_columns(row: FromClause, text: ColumnElement[str]) -> dict[str, Any]:
    """Return the columns of a branch whose rows are objects."""
    return {
        "a": row.c.uri,
        "c": text,
        "n": row.c.last_modified,
        "m": row.c.born,
        "d": flag(row.c.deleted),
    }


def grant_branch(rows: FromClause) -> Select[Any]:
    """Return the branch of some grants."""
    return branch(GRANT, a=rows.c.uri, b=rows.c.permission, c=rows.c.principal)


def living_grants() -> Select[Any]:
    """Return the grants of the bucket that have not ended."""
    return select(grants.c.uri, grants.c.permission, grants.c.principal).where(
        grants.c.bucket == BUCKET, grants.c.until == LIVING_LITERAL
    )


def all_grants_branch(dialect: Dialect, objects: FromClause) -> Select[Any]:
    """Return the branch of all grants on *objects*, a table with the column `uri`."""
    return grant_branch(dialect.look_up(living_grants(), objects, grants.c.uri == objects.c.uri).subquery())


def clocks_branch(dialect: Dialect, *, with_lock: bool = False) -> Select[Any]:
    """Return the branch of the clocks of the lists that are bound as `clocks`, *with_lock* whether they are locked."""
    lists = dialect.bound_rows("clocks", VALUE)
    columns = {"b": case((dialect.is_own_row(clocks), literal_column("'locked'")))} if with_lock else {}
    return dialect.look_up(_clock_branch(**columns), lists, clocks.c.list == lists.c.value)


def _clock_branch(**columns: Any) -> Select[Any]:
    former = func.coalesce(clocks.c.former, integer(0))
    columns |= {"a": clocks.c.list, "n": clocks.c.last_modified, "m": clocks.c.count, "d": former}
    return branch(CLOCK, **columns).where(clocks.c.bucket == BUCKET)


def documents_branch(dialect: Dialect, objects: FromClause, text: ColumnElement[str]) -> Select[Any]:
    """Return the branch of the documents of *objects*, a table of `URI_AND_LIST`."""
    rows = branch(OBJECT, **object_columns(documents, text)).where(documents.c.bucket == BUCKET)
    return dialect.look_up(rows, objects, documents.c.uri == objects.c.uri)


def ancestor_branches(
    dialect: Dialect, readers: Readers, *, with_documents: bool, with_all_grants: bool
) -> tuple[CTE, list[Select[Any]]]:
    """Return the grants of the readers on the objects that are bound as `ancestors`, and the branches of these objects.

    The branches are their documents, or `{}` in their place, and the grants: those of the readers, or all.
    """
    objects = dialect.bound_rows("ancestors", URI_AND_LIST)
    held = readers.grants_on(objects, "held")
    text = dialect.text(documents.c.data) if with_documents else NO_DOCUMENT
    of_grants = all_grants_branch(dialect, objects) if with_all_grants else grant_branch(held)
    return held, [of_grants, documents_branch(dialect, objects, text)]


def cascade_branches(dialect: Dialect) -> list[Select[Any]]:
    """Return the branches of all clocks and all indexes below the objects that are bound as `cascade_roots`."""
    ranges = dialect.bound_rows("cascade_roots", RANGE)
    return [
        dialect.look_up(rows, ranges, name > ranges.c.above, name < ranges.c.below)
        for rows, name in ((_clock_branch(), clocks.c.list), (_index_branch(), indexes.c.list))
    ]


def indexes_branch(dialect: Dialect) -> Select[Any]:
    """Return the branch of the indexes of the lists that are bound as `indexes`."""
    lists = dialect.bound_rows("indexes", VALUE)
    return dialect.look_up(_index_branch(), lists, indexes.c.list == lists.c.value)


def _index_branch() -> Select[Any]:
    blank = literal_column("' '", Text)
    state = indexes.c.state.concat(blank).concat(indexes.c.origin)
    columns = {
        "a": indexes.c.list,
        "b": indexes.c.definition,
        "c": state.concat(blank).concat(indexes.c.prefix).concat(blank).concat(indexes.c.done),
        "n": indexes.c.slot,
        "m": indexes.c.since,
    }
    return branch(INDEX, **columns).where(indexes.c.bucket == BUCKET)


def read_index(row: Any) -> Index:
    """Return the index of a row of the source `INDEX`."""
    _, name, definition, text, slot, since, *_ = row
    state, origin, prefix, done = text.split(" ", 3)
    return Index(name, slot, bytes.fromhex(prefix), read_definition(definition), origin, state, done, since)


def members_branch(dialect: Dialect) -> Select[Any]:
    """Return the branch of the living members of the groups that are bound as `groups`."""
    groups = dialect.bound_rows("groups", VALUE)
    rows = branch(MEMBER, a=members.c.principal, b=members.c.user_id).where(members.c.until == LIVING_LITERAL)
    return dialect.look_up(rows, groups, members.c.principal == groups.c.value)


def user_branches(dialect: Dialect, secret_fields: Sequence[str]) -> Iterator[Select[Any]]:
    """Yield a branch of users for each of *secret_fields*, in a bucket of its own (see `bind_users`)."""
    for number, name in enumerate(secret_fields):
        users = dialect.bound_rows(f"users_{number}", VALUE)
        secret = dialect.member(documents.c.data, name)
        rows = branch(USER, a=documents.c.uri, b=literal(name, Text), c=secret, n=documents.c.born).where(
            documents.c.bucket == bindparam(f"bucket_{number}", type_=Text), ~documents.c.deleted
        )
        yield dialect.look_up(rows, users, documents.c.uri == users.c.value)


def bind_users(dialect: Dialect, users: Iterable[User]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the field of the secret for each branch of users, and the parameters of these branches.

    Users in the same bucket whose secrets are in the same field share a branch.
    """
    uris_by_branch: dict[tuple[str, str], list[str]] = {}
    for user in users:
        uris_by_branch.setdefault((read_bucket(user.uri), user.secret_field), []).append(user.uri)
    parameters: dict[str, Any] = {}
    for number, ((bucket, _), uris) in enumerate(uris_by_branch.items()):
        parameters |= {f"bucket_{number}": bucket, **bind_values(dialect, f"users_{number}", uris)}
    return tuple(secret_field for _, secret_field in uris_by_branch), parameters


def bind_values(dialect: Dialect, name: str, values: Iterable[str]) -> Mapping[str, Any]:
    """Return the parameters of a table of `VALUE`."""
    return dialect.bind_rows(name, ("value",), [(value,) for value in values])


def bind_objects(dialect: Dialect, name: str, uris: Iterable[str]) -> Mapping[str, Any]:
    """Return the parameters of a table of `URI_AND_LIST`."""
    return dialect.bind_rows(name, ("uri", "list"), [(uri, list_of(uri)) for uri in uris])


def bind_ranges(dialect: Dialect, name: str, uris: Iterable[str]) -> Mapping[str, Any]:
    """Return the parameters of a table of `RANGE`: the URIs below each object."""
    return dialect.bind_rows(name, ("above", "below"), [(f"{uri}/", f"{uri}0") for uri in uris])


class Readers:
    """The principals that are bound as `readers`, and the groups that they are in; both are read once in a statement.

    MATERIALIZED makes the database compute each common table expression once, although several branches use it.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        readers = dialect.bound_rows("readers", VALUE)
        membership = select(members.c.user_id, members.c.principal).where(members.c.until == LIVING_LITERAL)
        self._memberships = (
            dialect.look_up(membership, readers, members.c.user_id == readers.c.value)
            .cte("joined")
            .prefix_with("MATERIALIZED")
        )
        self._principals = (
            union_all(select(readers.c.value), select(self._memberships.c.principal))
            .cte("principals")
            .prefix_with("MATERIALIZED")
        )

    @property
    def principals(self) -> CTE:
        """Return the readers and their groups, in the column `value`."""
        return self._principals

    def groups_branch(self) -> Select[Any]:
        """Return the branch of the groups that the readers are in."""
        return branch(GROUP, a=self._memberships.c.user_id, b=self._memberships.c.principal)

    def grants_on(self, objects: FromClause, name: str) -> CTE:
        """Return the grants that the readers hold on *objects*, a table of `URI_AND_LIST`."""
        same = (
            grants.c.principal == self._principals.c.value,
            grants.c.list == objects.c.list,
            grants.c.uri == objects.c.uri,
        )
        return (
            self._dialect.look_up(living_grants(), self._principals.join(objects, true()), *same)
            .cte(name)
            .prefix_with("MATERIALIZED")
        )

    def shared_uris(self, *conditions: ColumnElement[bool], certain_permissions: bool) -> Select[Any]:
        """Return the URIs of the objects of the page's list on which the readers hold a permission.

        With *certain_permissions* one of those that are bound as `own`, else any.
        """
        rows = select(grants.c.uri).where(grants.c.bucket == BUCKET, grants.c.until == LIVING_LITERAL)
        if certain_permissions:
            own = self._dialect.bound_rows("own", VALUE)
            rows = rows.where(grants.c.permission.in_(select(own.c.value)))
        matching = rows.where(*conditions).correlate_except(grants)
        # Few rows are expected of what is looked up (`look_up`). Where most buckets are small, PostgreSQL would expect
        # fewer in the bucket than in the list, and read all grants of a big one.
        same = (grants.c.principal == self._principals.c.value, grants.c.list == bindparam("list", type_=Text))
        return self._dialect.look_up(matching, self._principals, *same)
