"""What is read, each time as one SELECT: a UNION ALL whose rows say where they come from, all of one moment.

Every row has the columns of `_COLUMNS`; `source` is the branch. Statements are built once for each shape; only
filters and sorting are added per request. A page comes from two gated branches, `full` for whoever is allowed on the
objects around the list and `shared` for whoever was granted single objects: one WHERE with an OR would look at every
object of the list. The gate is the LIMIT, since SQLite skips a branch by nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    Text,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import CompoundSelect

from backends.storage import LIVING, Clock, Page, Snapshot, Stored, User, UserState, Wanted, home
from backends.storage.dialect import Dialect
from backends.storage.filters import conditions, named, ordering
from backends.storage.tables import clocks, documents, grants, members

_GROUP, _GRANT, _CLOCK, _OBJECT, _ROW, _TOTAL, _FULL, _SHARES, _USER = range(9)
_COLUMNS: Final = ("source", "a", "b", "c", "n", "m", "d", "rank")
_DEFAULTS: Final = {"a": "''", "b": "''", "c": "''", "n": "0", "m": "0", "d": "0", "rank": "0"}

_bucket = bindparam("bucket", type_=Text)
_living = literal_column(str(LIVING), BigInteger)


def _in(name: str) -> Any:
    return bindparam(name, expanding=True, type_=Text)


def _branch(source: int, **columns: Any) -> Select[Any]:
    given = {name: columns.get(name, literal_column(blank)) for name, blank in _DEFAULTS.items()}
    return select(literal_column(str(source)).label("source"), *(given[name].label(name) for name in _COLUMNS[1:]))


def _groups() -> Select[Any]:
    """Which groups the readers are in."""
    return _branch(_GROUP, a=members.c.user_id, b=members.c.principal).where(
        members.c.user_id.in_(_in("readers")), members.c.until == _living
    )


def _grants(uris: str) -> Select[Any]:
    """All that is granted on objects."""
    return _branch(_GRANT, a=grants.c.uri, b=grants.c.permission, c=grants.c.principal).where(
        grants.c.bucket == _bucket, grants.c.uri.in_(_in(uris)), grants.c.until == _living
    )


def _held(uris: str) -> tuple[Select[Any], Select[Any]]:
    """What the readers hold on objects, by themselves and by their groups."""
    themselves = _grants(uris).where(grants.c.principal.in_(_in("readers")))
    by_groups = _grants(uris).join(members, members.c.principal == grants.c.principal)
    return themselves, by_groups.where(members.c.user_id.in_(_in("readers")), members.c.until == _living)


def _clocks() -> Select[Any]:
    return _branch(_CLOCK, a=clocks.c.list, n=clocks.c.last_modified, m=clocks.c.count).where(
        clocks.c.bucket == _bucket, clocks.c.list.in_(_in("clocks"))
    )


_IN_LIST: Final = (documents.c.bucket == _bucket, documents.c.list == bindparam("list", type_=Text))
_timestamp: Final = (
    select(clocks.c.last_modified)
    .where(clocks.c.bucket == _bucket, clocks.c.list == bindparam("list", type_=Text))
    .scalar_subquery()
)


def _object_columns(text: ColumnElement[str]) -> dict[str, Any]:
    return {
        "a": documents.c.uri,
        "c": text,
        "n": documents.c.last_modified,
        "m": documents.c.born,
        "d": case((documents.c.deleted, 1), else_=0),
    }


@dataclass(frozen=True, slots=True)
class _Gate:
    """How many rows one branch of a page may give, and which ones: all of the list, or those `shared`."""

    limit: Any
    shared: CompoundSelect[Any] | None = None

    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """Return what holds for the rows that may pass: of what is shared no tombstones are shown (C-PERM-16)."""
        return () if self.shared is None else (documents.c.uri.in_(self.shared), ~documents.c.deleted)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The branches of a page's statement beside its rows, and the gates of those."""

    branches: tuple[Select[Any], ...]
    gates: tuple[_Gate, ...]


class Reads:
    """The statements of one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._objects = lru_cache(maxsize=64)(self._build_objects)
        self._frame = lru_cache(maxsize=64)(self._build_frame)
        self._row = lru_cache(maxsize=64)(self._build_row)
        self._kept_page = lru_cache(maxsize=64)(self._build_page)

    def run(self, connection: Connection, wanted: Wanted) -> Snapshot:
        """Execute the one statement that reads *wanted*."""
        parameters: dict[str, Any] = {
            "bucket": wanted.bucket,
            "targets": list(wanted.targets),
            "ancestors": list(wanted.ancestors),
            "clocks": list(wanted.clocks),
            "readers": list(wanted.readers),
        }
        page = wanted.page
        users, named_users = _by_secret(wanted.users)
        parameters |= named_users
        if page is None:
            statement = self._objects(
                bool(wanted.targets), bool(wanted.ancestors), bool(wanted.clocks), wanted.bodies, wanted.private, users
            )
            return _collect(connection.execute(statement, parameters))
        parameters |= {
            "list": page.list,
            "limit": page.limit,
            "unless": page.unless,
            "above": list(page.above),
            "own": list(page.own or ()),
        }
        statement, values = self._page(page, bool(wanted.ancestors), wanted.bodies, users)
        seen = _collect(connection.execute(statement, parameters | values))
        if page.counting and not page.filters and seen.full:
            seen.total = seen.clocks[page.list].count if page.list in seen.clocks else 0
        return seen

    def _documents(self, uris: str, text: ColumnElement[str]) -> Select[Any]:
        return _branch(_OBJECT, **_object_columns(text)).where(
            documents.c.bucket == _bucket, documents.c.uri.in_(_in(uris))
        )

    def _text(self, private: Sequence[str] = (), wanted: bool = True) -> ColumnElement[str]:
        if not wanted:
            return literal_column("'{}'", Text)
        column = documents.c.data
        return self._dialect.text(column, tuple(private))

    def _users(self, secrets: Sequence[str]) -> Iterator[Select[Any]]:
        """Make the branches that look up users, each in a bucket of its own, with the member that is their secret."""
        for number, name in enumerate(secrets):
            secret = self._dialect.member(documents.c.data, name)
            yield _branch(_USER, a=documents.c.uri, b=literal(name, Text), c=secret, n=documents.c.born).where(
                documents.c.bucket == bindparam(f"bucket_{number}", type_=Text),
                documents.c.uri.in_(_in(f"users_{number}")),
                ~documents.c.deleted,
            )

    def _build_objects(
        self,
        targets: bool,
        ancestors: bool,
        lists: bool,
        bodies: bool,
        private: tuple[str, ...],
        users: tuple[str, ...],
    ) -> CompoundSelect[Any]:
        branches = [_groups(), *self._users(users)]
        if targets:
            branches += [_grants("targets"), self._documents("targets", self._text(private))]
        if ancestors:
            branches += [*_held("ancestors"), self._documents("ancestors", self._text(wanted=bodies))]
        if lists:
            branches.append(_clocks())
        return union_all(*branches)

    def _page(
        self, page: Page, around: bool, bodies: bool, users: tuple[str, ...]
    ) -> tuple[CompoundSelect[Any], dict[str, Any]]:
        """Return the statement of a page, a kept one where only named values differ, and those values."""
        shape = replace(page, limit=0, above=(), own=page.own and ("",), unless=None if page.unless is None else 0)
        renamed = named(shape)
        if renamed is None:
            return self._build_page(shape, around, bodies, users), {}
        shape, values = renamed
        return self._kept_page(replace(shape, list=""), around, bodies, users), values

    def _build_page(self, page: Page, around: bool, bodies: bool, users: tuple[str, ...]) -> CompoundSelect[Any]:
        frame = self._frame(page.whole, around, bodies, page.own is not None, page.unless is not None, users)
        matching = conditions(page, documents, self._dialect)
        if page.counting:
            return union_all(*frame.branches, *_counts(frame.gates, matching, bool(page.filters)))
        rows = _rows(self._row(page.private), ordering(page, documents, self._dialect), frame.gates, matching)
        return union_all(*frame.branches, *rows)

    def _build_row(self, private: tuple[str, ...]) -> Select[Any]:
        return _branch(_ROW, **_object_columns(self._text(private))).where(*_IN_LIST)

    def _build_frame(
        self, whole: bool, around: bool, bodies: bool, owned: bool, unless: bool, users: tuple[str, ...]
    ) -> _Frame:
        """Return all of a page's statement but its rows: what does not depend on filters and sorting."""
        branches = [_groups(), _clocks(), *self._users(users)]
        if around:
            branches += [*_held("ancestors"), self._documents("ancestors", self._text(wanted=bodies))]
        limit: Any = bindparam("limit", type_=BigInteger)
        if unless:
            limit = case((_timestamp == bindparam("unless", type_=BigInteger), 0), else_=limit)
        if whole:
            return _Frame((*branches, _branch(_FULL, n=literal_column("1"))), (_Gate(limit),))
        # Written out twice: SQLite would fetch all of a common table expression that is used twice.
        shared = self._shared(owned)
        branches.append(_branch(_SHARES, n=case((exists(shared), 1), else_=0)))
        if not around:
            return _Frame(tuple(branches), (_Gate(limit, shared),))
        full = _full().cte("gate")
        is_full = select(full.c.full).scalar_subquery() == 1
        gates = _Gate(case((is_full, limit), else_=0)), _Gate(case((is_full, 0), else_=limit), shared)
        return _Frame((*branches, _branch(_FULL, n=full.c.full)), gates)

    def _shared(self, owned: bool) -> CompoundSelect[Any]:
        """Which objects of a list were granted to the readers, by themselves or by their groups."""
        granted = select(grants.c.uri).where(
            grants.c.bucket == _bucket, grants.c.list == bindparam("list", type_=Text), grants.c.until == _living
        )
        if owned:
            granted = granted.where(grants.c.permission.in_(_in("own")))
        themselves = granted.where(grants.c.principal.in_(_in("readers")))
        groups = members.c.user_id.in_(_in("readers")), members.c.until == _living
        by_groups = self._dialect.for_each(members.c.principal, groups, granted, grants.c.principal)
        return union_all(themselves, by_groups)


def _by_secret(users: Sequence[User]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the members that hold the secrets of users, one for each branch, and the values that the branches bind."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for user in users:
        grouped.setdefault((home(user.uri), user.member), []).append(user.uri)
    values: dict[str, Any] = {}
    for number, ((bucket, _), uris) in enumerate(grouped.items()):
        values |= {f"bucket_{number}": bucket, f"users_{number}": uris}
    return tuple(member for _, member in grouped), values


def _rows(
    row: Select[Any], order: Sequence[Any], gates: Sequence[_Gate], matching: Sequence[ColumnElement[bool]]
) -> Iterator[Select[Any]]:
    """Make the branches of a page's rows, numbered because UNION ALL promises no order."""
    for gate in gates:
        found = row.where(*gate.conditions(), *matching).order_by(*order).limit(gate.limit).subquery()
        columns = [found.c[name] for name in _COLUMNS[:-1]]
        yield select(*columns, func.row_number().over().label("rank"))


def _counts(gates: Sequence[_Gate], matching: Sequence[ColumnElement[bool]], filtered: bool) -> Iterator[Select[Any]]:
    """Make the branches that count what matches; none where the clock knows it."""
    for gate in gates:
        if gate.shared is not None or filtered:
            where = *_IN_LIST, *gate.conditions(), *matching
            found = select(documents.c.uri).where(*where).limit(gate.limit).subquery()
            yield _branch(_TOTAL, n=select(func.count()).select_from(found).scalar_subquery())


def _full() -> Select[Any]:
    """Whether the readers may deal with the whole list: they hold one of the permissions `above` around it."""
    held = [
        exists(branch.where(grants.c.permission.in_(_in("above"))).with_only_columns(literal_column("1")))
        for branch in _held("ancestors")
    ]
    return select(case((or_(*held), 1), else_=0).label("full"))


def _collect(rows: Iterable[Any]) -> Snapshot:
    """Sort the rows of a statement into a snapshot."""
    seen = Snapshot()
    page: list[tuple[int, Stored]] = []
    for source, a, b, c, n, m, d, rank in rows:
        if source == _GRANT:
            seen.grants.setdefault(a, {}).setdefault(b, set()).add(c)
        elif source == _OBJECT:
            seen.objects[a] = Stored(a, n, d == 1, m, c)
        elif source == _ROW:
            page.append((rank, Stored(a, n, d == 1, m, c)))
        elif source == _GROUP:
            seen.groups.setdefault(a, set()).add(b)
        elif source == _CLOCK:
            seen.clocks[a] = Clock(n, m)
        elif source == _TOTAL:
            seen.total += n
        elif source == _FULL:
            seen.full = n == 1
        elif source == _USER:
            seen.users[User(a, b)] = UserState(n, c)
        else:
            seen.shares = n == 1
    seen.page = [stored for _, stored in sorted(page, key=lambda ranked: ranked[0])]
    return seen
