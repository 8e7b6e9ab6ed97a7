"""The branches of a page's statement except its rows: one of up to three gates lets the rows of the page through.

The statement computes once, as the common table expression `gate`, which one is open (`mode`):

- mode 0, the whole list: the readers hold one of the page's `list_permissions` on an ancestor (or are `unrestricted`).
- mode 1, shared objects: each object of the list that the readers were granted is looked up.
- mode 2, the list in its order: the grants of each object are looked up, until the page is full. The condition: the
  readers were granted more than `FEW` objects of the list, and fewer objects than `FEW` match, as in a poll, or the
  first objects in the order of the page fill it: as many as the readers were granted, `FEW` plus four times the limit
  at most. In other cases the shared objects may be at the end of the list, and mode 1 reads less.

A single WHERE with OR would read every object of the list. The *gate* of a branch is its LIMIT: the limit of the page
in the branch that is open, 0 in the others. It is no condition in WHERE because SQLite skips a branch only by its
LIMIT.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.sql.elements import ColumnElement

from backends.storage.branches import (
    BUCKET,
    FULL,
    SHARES,
    VALUE,
    Readers,
    ancestor_branches,
    branch,
    clocks_branch,
    flag,
    indexes_branch,
    integer,
    user_branches,
)
from backends.storage.dialect import Dialect
from backends.storage.filters import QueryShape, conditions, in_direction, ordering
from backends.storage.tables import clocks, documents, grants

FEW: Final = 100
"""The number of objects that are cheap to look up for any page."""

LIST: Final = bindparam("list", type_=Text)
_IN_BUCKET: Final = documents.c.bucket == BUCKET
_IN_LIST: Final = (_IN_BUCKET, documents.c.list == LIST)
_newest: Final = (
    select(clocks.c.last_modified).where(clocks.c.bucket == BUCKET, clocks.c.list == LIST).scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class Gate:
    """The LIMIT of one branch of a page, and the objects that the branch may return.

    All objects of the list, those in the table `shared`, or those that meet the condition `granted`.
    """

    limit: Any
    shared: FromClause | None = None
    granted: ColumnElement[bool] | None = None

    def restrict(self, rows: Select[Any], dialect: Dialect) -> Select[Any]:
        """Return the objects among *rows* that the branch may return.

        Shared objects are in the list because their grants are. With the list as a condition PostgreSQL may look up
        each of them in the index of the list, past all other objects.
        """
        if self.shared is not None:
            return dialect.look_up(rows.where(_IN_BUCKET), self.shared, documents.c.uri == self.shared.c.uri)
        in_list = rows.where(*_IN_LIST)
        return in_list if self.granted is None else in_list.where(self.granted)

    @property
    def whole_list(self) -> bool:
        """Return whether the branch may return the whole list. Shared objects have no tombstones (C-PERM-16)."""
        return self.shared is None and self.granted is None


class FrameShape(NamedTuple):
    """The parts of a page that the SQL of its frame depends on.

    - `unrestricted`: as in `Page`.
    - `has_ancestors`, `ancestor_documents`, `ancestor_grants`: ancestors are read, with their documents, with all
      grants on them.
    - `certain_permissions`: the page has `object_permissions`.
    - `conditional`: the page has `unless_timestamp`.
    - `in_order`: the query of the page if the list may be read in its order (mode 2), else None.
    - `secret_fields`: one for each branch of users.
    - `indexes`: the indexes of lists are read.
    """

    unrestricted: bool
    has_ancestors: bool
    ancestor_documents: bool
    ancestor_grants: bool
    certain_permissions: bool
    conditional: bool
    in_order: QueryShape | None
    secret_fields: tuple[str, ...]
    indexes: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """The branches of a page's statement except its rows, and the gates of the branches of its rows."""

    branches: tuple[Select[Any], ...]
    gates: tuple[Gate, ...]


class Frames:
    """The frames of pages, in one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.frame = lru_cache(maxsize=64)(self._build)

    def _build(self, shape: FrameShape) -> Frame:
        """Return the parts of a page's statement that do not depend on its filters and order."""
        readers = Readers(self._dialect)
        branches = [
            readers.groups_branch(),
            clocks_branch(self._dialect),
            *user_branches(self._dialect, shape.secret_fields),
            *([indexes_branch(self._dialect)] if shape.indexes else []),
        ]
        held: CTE | None = None
        if shape.has_ancestors:
            held, ancestors_and_grants = ancestor_branches(
                self._dialect,
                readers,
                with_documents=shape.ancestor_documents,
                with_all_grants=shape.ancestor_grants,
            )
            branches += ancestors_and_grants
        limit: Any = bindparam("limit", type_=BigInteger)
        if shape.conditional:
            limit = case((_newest == bindparam("unless", type_=BigInteger), integer(0)), else_=limit)
        if shape.unrestricted:
            return Frame((*branches, branch(FULL, n=integer(1))), (Gate(limit),))
        shared = readers.shared_uris(certain_permissions=shape.certain_permissions)
        # A list without ancestors has no object on which a permission for the whole list could be granted.
        modes = [(self._holds_list_permission(held), integer(0))] if held is not None else []
        if shape.in_order:
            is_in_order = and_(exists(shared.offset(integer(FEW))), self._first_objects_suffice(shape, readers, shared))
            modes.append((is_in_order, integer(2)))
        gate = select((case(*modes, else_=integer(1)) if modes else integer(1)).label("mode")).cte("gate")
        branches.append(branch(FULL, n=flag(gate.c.mode == integer(0))).select_from(gate))
        mode = select(gate.c.mode).scalar_subquery()
        branches.append(branch(SHARES, n=flag(and_(mode > integer(0), exists(shared)))))

        def limit_in(number: int) -> Any:
            return case((mode == integer(number), limit), else_=integer(0))

        gates = [Gate(limit_in(1), shared.distinct().subquery("shared"))]
        if held is not None:
            gates.append(Gate(limit_in(0)))
        if shape.in_order:
            same_object = grants.c.uri == documents.c.uri
            shared_objects = readers.shared_uris(same_object, certain_permissions=shape.certain_permissions)
            gates.append(Gate(limit_in(2), granted=exists(shared_objects)))
        return Frame(tuple(branches), tuple(gates))

    def _first_objects_suffice(self, shape: FrameShape, readers: Readers, shared: Select[Any]) -> ColumnElement[bool]:
        """Return the condition that few objects match, or that the first ones in the order of the page fill it."""
        assert shape.in_order is not None
        living = shape.in_order._replace(tombstones=False)
        order = ordering(living, documents, self._dialect)
        most, limit = (bindparam(name, type_=BigInteger) for name in ("most_first", "limit"))
        matching = (
            select(documents.c.uri)
            .where(*_IN_LIST, *conditions(living, documents, self._dialect))
            .order_by(*(in_direction(key, descending=descending) for key, descending in order))
        )
        number = select(func.count()).select_from(shared.limit(most).subquery()).scalar_subquery()
        first = matching.limit(number).subquery("first_objects")
        shared_objects = readers.shared_uris(grants.c.uri == first.c.uri, certain_permissions=shape.certain_permissions)
        is_full = exists(select(first.c.uri).where(exists(shared_objects)).offset(limit - integer(1)))
        return or_(~exists(matching.offset(integer(FEW - 1))), is_full)

    def _holds_list_permission(self, held: CTE) -> ColumnElement[bool]:
        """Return the condition that the readers hold one of the page's `list_permissions` on an ancestor."""
        above = self._dialect.bound_rows("above", VALUE)
        return exists().where(held.c.permission.in_(select(above.c.value)))
