"""The parts that every read is made of: branches of a UNION ALL with one set of columns, and who reads.

Every row has the columns of `COLUMNS`; `source` is the branch that it comes from. What many statements share is made
here once.
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
from backends.storage.tables import clocks, documents, grants, members

GROUP, GRANT, CLOCK, OBJECT, ROW, TOTAL, FULL, SHARES, USER, MEMBER, PERMISSIONS = range(11)
COLUMNS: Final = ("source", "a", "b", "c", "n", "m", "d", "rank")
_DEFAULTS: Final = {"a": "''", "b": "''", "c": "''", "n": "0", "m": "0", "d": "0", "rank": "0"}

BUCKET: Final = bindparam("bucket", type_=Text)
LIVES: Final = literal_column(str(LIVING), BigInteger)

VALUE: Final = (("value", Text()),)
RANGE: Final = (("above", Text()), ("below", Text()))
"""The URIs below an object: `_` and `%` in ids are no wildcards (C-OBJ-60)."""

PLACE: Final = (("uri", Text()), ("list", Text()))
"""An object and the list that it is in: an index on grants finds both together."""


def branch(source: int, **columns: Any) -> Select[Any]:
    """Return a SELECT of the rows of one source; columns that are not given are empty."""
    given = {name: columns.get(name, literal_column(blank)) for name, blank in _DEFAULTS.items()}
    return select(literal_column(str(source)).label("source"), *(given[name].label(name) for name in COLUMNS[1:]))


def object_columns(row: FromClause, text: ColumnElement[str]) -> dict[str, Any]:
    """Return the columns of a branch whose rows are objects."""
    return {
        "a": row.c.uri,
        "c": text,
        "n": row.c.last_modified,
        "m": row.c.born,
        "d": case((row.c.deleted, 1), else_=0),
    }


def text_of(dialect: Dialect, document: ColumnElement[Any], private: Sequence[str] = ()) -> ColumnElement[str]:
    """Return the JSON text of a document without its private fields."""
    return dialect.text(document, tuple(private))


def grant_branch(granted: FromClause) -> Select[Any]:
    """Return the branch of grants."""
    return branch(GRANT, a=granted.c.uri, b=granted.c.permission, c=granted.c.principal)


def living_grants() -> Select[Any]:
    """Return the grants of the bucket that have not ended."""
    return select(grants.c.uri, grants.c.permission, grants.c.principal).where(
        grants.c.bucket == BUCKET, grants.c.until == LIVES
    )


def clocks_branch(dialect: Dialect) -> Select[Any]:
    """Return the branch of the clocks of the lists that are bound as `clocks`."""
    lists = dialect.rows("clocks", VALUE)
    return dialect.look_up(_clock_branch(), lists, clocks.c.list == lists.c.value)


def _clock_branch() -> Select[Any]:
    former = func.coalesce(clocks.c.former, literal_column("0"))
    columns = {"a": clocks.c.list, "n": clocks.c.last_modified, "m": clocks.c.count, "d": former}
    return branch(CLOCK, **columns).where(clocks.c.bucket == BUCKET)


def documents_branch(dialect: Dialect, objects: FromClause, text: ColumnElement[str]) -> Select[Any]:
    """Return the branch of *objects*, places."""
    found = branch(OBJECT, **object_columns(documents, text)).where(documents.c.bucket == BUCKET)
    return dialect.look_up(found, objects, documents.c.uri == objects.c.uri)


def emptied_branch(dialect: Dialect) -> Select[Any]:
    """Return the branch of all clocks below the objects that are bound as `cascade_roots`."""
    ranges = dialect.rows("cascade_roots", RANGE)
    return dialect.look_up(_clock_branch(), ranges, clocks.c.list > ranges.c.above, clocks.c.list < ranges.c.below)


def members_branch(dialect: Dialect) -> Select[Any]:
    """Return the branch of the living members of the groups that are bound as `groups`."""
    groups = dialect.rows("groups", VALUE)
    found = branch(MEMBER, a=members.c.principal, b=members.c.user_id).where(members.c.until == LIVES)
    return dialect.look_up(found, groups, members.c.principal == groups.c.value)


def user_branches(dialect: Dialect, secrets: Sequence[str]) -> Iterator[Select[Any]]:
    """Make the branches that look up users, each in a bucket of its own, with the member that is their secret."""
    for number, name in enumerate(secrets):
        users = dialect.rows(f"users_{number}", VALUE)
        secret = dialect.member(documents.c.data, name)
        found = branch(USER, a=documents.c.uri, b=literal(name, Text), c=secret, n=documents.c.born).where(
            documents.c.bucket == bindparam(f"bucket_{number}", type_=Text), ~documents.c.deleted
        )
        yield dialect.look_up(found, users, documents.c.uri == users.c.value)


def by_secret(dialect: Dialect, users: Iterable[User]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the members that hold the secrets of users, one for each branch, and the values that the branches bind."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for user in users:
        grouped.setdefault((read_bucket(user.uri), user.member), []).append(user.uri)
    values: dict[str, Any] = {}
    for number, ((bucket, _), uris) in enumerate(grouped.items()):
        values |= {f"bucket_{number}": bucket, **bind_values(dialect, f"users_{number}", uris)}
    return tuple(member for _, member in grouped), values


def bind_values(dialect: Dialect, name: str, values: Iterable[str]) -> Mapping[str, Any]:
    """Return the parameters of a table of values."""
    return dialect.bind_rows(name, ("value",), [(value,) for value in values])


def bind_places(dialect: Dialect, name: str, uris: Iterable[str]) -> Mapping[str, Any]:
    """Return the parameters of a table of places."""
    return dialect.bind_rows(name, ("uri", "list"), [(uri, list_of(uri)) for uri in uris])


def bind_ranges(dialect: Dialect, name: str, uris: Iterable[str]) -> Mapping[str, Any]:
    """Return the parameters of a table of what lies below objects."""
    return dialect.bind_rows(name, ("above", "below"), [(f"{uri}/", f"{uri}0") for uri in uris])


class Readers:
    """Who reads: the principals that are bound, and the groups that they are in; made once in a statement.

    Both come from the principals that are bound as `readers`.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        readers = dialect.rows("readers", VALUE)
        membership = select(members.c.user_id, members.c.principal).where(members.c.until == LIVES)
        self._joined = (
            dialect.look_up(membership, readers, members.c.user_id == readers.c.value)
            .cte("joined")
            .prefix_with("MATERIALIZED")
        )
        self._principals = (
            union_all(select(readers.c.value), select(self._joined.c.principal))
            .cte("principals")
            .prefix_with("MATERIALIZED")
        )

    @property
    def principals(self) -> CTE:
        """Return all principals of the readers, by the column `value`."""
        return self._principals

    def groups(self) -> Select[Any]:
        """Return the branch of the groups."""
        return branch(GROUP, a=self._joined.c.user_id, b=self._joined.c.principal)

    def held(self, objects: FromClause, name: str) -> CTE:
        """Return the grants that the readers hold on *objects*, places."""
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

    def shared(self, owned: bool, *conditions: ColumnElement[bool]) -> Select[Any]:
        """Return the URIs of the objects of a list that were granted to the readers, *owned* by certain permissions."""
        granted = select(grants.c.uri).where(
            grants.c.bucket == BUCKET, grants.c.list == bindparam("list", type_=Text), grants.c.until == LIVES
        )
        if owned:
            own = self._dialect.rows("own", VALUE)
            granted = granted.where(grants.c.permission.in_(select(own.c.value)))
        found = granted.where(*conditions).correlate_except(grants)
        by_principal = grants.c.principal == self._principals.c.value
        return self._dialect.look_up(found, self._principals, by_principal)
