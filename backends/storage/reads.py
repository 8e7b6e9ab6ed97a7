"""What is read, each time as one SELECT: a UNION ALL whose rows say where they come from, all of one moment.

Statements are built once for each shape; only filters and sorting are added per request. Many values are looked up in
one way everywhere (`Dialect.look_up`): each by itself, in an index, so that a plan depends neither on statistics nor on
how many there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Text, literal_column, select, union_all
from sqlalchemy.sql.selectable import CompoundSelect

from backends.storage import Clock, Selection, Snapshot, Stored, User, UserState
from backends.storage.branches import (
    CLOCK,
    FULL,
    GRANT,
    GROUP,
    MEMBER,
    OBJECT,
    PERMISSIONS,
    PLACE,
    ROW,
    TOTAL,
    USER,
    Readers,
    bind_places,
    bind_ranges,
    bind_values,
    by_secret,
    clocks_branch,
    documents_branch,
    emptied_branch,
    grant_branch,
    living_grants,
    members_branch,
    user_branches,
)
from backends.storage.dialect import Dialect
from backends.storage.pages import Pages
from backends.storage.tables import documents, grants


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the statement of a read without a page depends on: which branches there are, and how they are made."""

    named: tuple[bool, ...]
    bodies: bool
    sparing: bool
    private: tuple[str, ...]
    users: tuple[str, ...]


_TABLES: Final = {
    "targets": bind_places,
    "ancestors": bind_places,
    "clocks": bind_values,
    "readers": bind_values,
    "groups": bind_values,
    "cascade_roots": bind_ranges,
}
"""How the fields of Selection are bound as tables."""


class Reads:
    """The statements of one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._objects = lru_cache(maxsize=64)(self._build_objects)
        self._pages = Pages(dialect)

    def run(self, connection: Connection, wanted: Selection) -> Snapshot:
        """Execute the one statement that reads *wanted*."""
        page = wanted.page
        parameters: dict[str, Any] = {"bucket": wanted.bucket}
        for name, bind in _TABLES.items():
            values = getattr(wanted, name)
            if values or name == "readers" or (page and name == "clocks"):
                parameters |= bind(self._dialect, name, values)
        users: tuple[str, ...] = ()
        if wanted.users:
            users, named_users = by_secret(self._dialect, wanted.users)
            parameters |= named_users
        if page is None:
            named = wanted.targets, wanted.ancestors, wanted.clocks, wanted.groups, wanted.cascade_roots
            shape = _Shape(tuple(map(bool, named)), wanted.bodies, wanted.sparing, wanted.private, users)
            seen = collect(connection.execute(self._objects(shape), parameters))
            seen.members = {group: seen.members.get(group, set()) for group in wanted.groups}
            return seen
        parameters |= {
            "list": page.list,
            "limit": page.limit,
            "unless": page.unless,
            **bind_values(self._dialect, "above", page.above),
            **bind_values(self._dialect, "own", page.own or ()),
        }
        statement, values = self._pages.statement(page, bool(wanted.ancestors), wanted.bodies, users)
        seen = collect(connection.execute(statement, parameters | values))
        if page.counting and not page.filters and seen.full:
            seen.total = seen.clocks[page.list].count if page.list in seen.clocks else 0
        return seen

    def _build_objects(self, shape: _Shape) -> CompoundSelect[Any]:
        dialect = self._dialect
        targets, ancestors, lists, groups, emptied = shape.named
        readers = Readers(dialect)
        branches = [readers.groups(), *user_branches(dialect, shape.users)]
        if targets:
            objects = dialect.rows("targets", PLACE)
            looked_at: Any = objects
            if shape.sparing:
                held = readers.held(objects, "held_on_targets")
                branches.append(grant_branch(held))
                looked_at = select(held.c.uri).where(held.c.permission == "write").distinct().subquery("written")
            granted = dialect.look_up(living_grants(), looked_at, grants.c.uri == looked_at.c.uri).subquery()
            text = dialect.text(documents.c.data, shape.private)
            branches += [grant_branch(granted), documents_branch(dialect, objects, text)]
        if ancestors:
            objects = dialect.rows("ancestors", PLACE)
            text = dialect.text(documents.c.data) if shape.bodies else literal_column("'{}'", Text)
            branches += [grant_branch(readers.held(objects, "held")), documents_branch(dialect, objects, text)]
        if lists:
            branches.append(clocks_branch(dialect))
        if groups:
            branches.append(members_branch(dialect))
        if emptied:
            branches.append(emptied_branch(dialect))
        return union_all(*branches)


def collect(rows: Iterable[Any]) -> Snapshot:
    """Sort the rows of a statement into a snapshot."""
    seen = Snapshot()
    page: list[tuple[int, Stored]] = []
    for source, a, b, c, n, m, d, rank in rows:
        if source == GRANT:
            seen.grants.setdefault(a, {}).setdefault(b, set()).add(c)
        elif source == OBJECT:
            seen.objects[a] = Stored(a, n, d == 1, m, c)
        elif source == ROW:
            page.append((rank, Stored(a, n, d == 1, m, c)))
        elif source == GROUP:
            seen.groups.setdefault(a, set()).add(b)
        elif source == CLOCK:
            seen.clocks[a] = Clock(n, m, d)
        elif source == TOTAL:
            seen.total += n
        elif source == FULL:
            seen.full = n == 1
        elif source == MEMBER:
            seen.members.setdefault(a, set()).add(b)
        elif source == USER:
            seen.users[User(a, b)] = UserState(n, c)
        elif source == PERMISSIONS:
            seen.permissions.setdefault(a, set()).update(b.split())
        else:
            seen.shares = n == 1
    seen.page = [stored for _, stored in sorted(page, key=lambda ranked: ranked[0])]
    return seen
