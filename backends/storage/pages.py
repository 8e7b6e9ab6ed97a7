"""The statement that reads a page of a list.

Up to three branches give the rows of a page. The statement computes once, as the common table expression `gate`, which
one is open (`mode`):

- mode 0, the whole list: the readers hold one of the page's `list_permissions` on an ancestor (or are `unrestricted`).
- mode 1, shared objects: each object of the list that the readers were granted is looked up.
- mode 2, the list in its order: the grants of each object are looked up, until the page is full. The condition: the
  readers were granted more than `FEW` objects of the list, and fewer objects than `FEW` match, as in a poll, or the
  first objects in the order of the page fill it: as many as the readers were granted, `FEW` plus four times the limit
  at most. In other cases the shared objects may be at the end of the list, and mode 1 reads less.

A single WHERE with OR would read every object of the list. The *gate* of a branch is its LIMIT: the limit of the page
in the branch that is open, 0 in the others. It is no condition in WHERE because SQLite skips a branch only by its
LIMIT.

By terms (`backends.storage.term_plans`) the whole list of a bounded page has two branches: the objects that were found
(`found`, a common table expression too), and if they are too many the list in its order, or in that of an index.

The index has the living objects of a list before its tombstones, so that neither are read to find the other; a page
with both is composed of two SELECTs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    FromClause,
    Label,
    LargeBinary,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement

from backends.storage import LIVING, Page, Selection
from backends.storage.branches import (
    BUCKET,
    FULL,
    ROW,
    SHARES,
    TOTAL,
    URI_AND_LIST,
    VALUE,
    Readers,
    all_grants_branch,
    branch,
    clocks_branch,
    documents_branch,
    flag,
    grant_branch,
    indexes_branch,
    integer,
    object_columns,
    user_branches,
)
from backends.storage.dialect import Dialect
from backends.storage.filters import QueryShape, conditions, describe, in_direction, ordering
from backends.storage.index_plans import IndexPlan, IndexShape
from backends.storage.plans import Plan
from backends.storage.statements import Statement
from backends.storage.tables import CONTENTS, clocks, documents, grants
from backends.storage.term_plans import MAX_OBJECTS, TermPlan, TermShape

FEW: Final = 100
"""The number of objects that are cheap to look up for any page."""

_LIST: Final = bindparam("list", type_=Text)
_NO_DOCUMENT: Final = literal_column("'{}'", Text)
_MAX_BYTES: Final = bindparam("max_bytes", type_=BigInteger)
_IN_BUCKET: Final = documents.c.bucket == BUCKET
_IN_LIST: Final = (_IN_BUCKET, documents.c.list == _LIST)
_newest: Final = (
    select(clocks.c.last_modified).where(clocks.c.bucket == BUCKET, clocks.c.list == _LIST).scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class _Gate:
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


class _FrameShape(NamedTuple):
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


class _PageShape(NamedTuple):
    """Everything that the SQL of a page depends on."""

    frame: _FrameShape
    query: QueryShape
    count_only: bool
    without_documents: bool
    private: tuple[str, ...]
    index_shape: IndexShape | TermShape | None


@dataclass(frozen=True, slots=True)
class _Frame:
    """The branches of a page's statement except its rows, and the gates of the branches of its rows."""

    branches: tuple[Select[Any], ...]
    gates: tuple[_Gate, ...]


class Pages:
    """The statements of pages, in one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._frame = lru_cache(maxsize=64)(self._build_frame)
        self._statements = lru_cache(maxsize=64)(self._build)

    def statement(
        self, page: Page, selection: Selection, secret_fields: tuple[str, ...], plan: Plan | None
    ) -> tuple[Statement, dict[str, Any]]:
        """Return the statement of the page of a selection, and its parameters for filters, position and *plan*.

        Pages of one shape share one statement, which is made once.
        """
        query, values = describe(page, self._dialect)
        frame = _FrameShape(
            unrestricted=page.unrestricted,
            has_ancestors=bool(selection.ancestors),
            ancestor_documents=selection.ancestor_documents,
            ancestor_grants=selection.ancestor_grants,
            certain_permissions=page.object_permissions is not None,
            conditional=page.unless_timestamp is not None,
            # The index in the order of timestamps knows no other field.
            in_order=query if query.by_time and not page.count_only and query.filters_by_time else None,
            secret_fields=secret_fields,
            indexes=bool(selection.indexes),
        )
        if frame.in_order:
            values["most_first"] = min(FEW + 4 * page.limit, LIVING)
        keys = plan
        if isinstance(plan, TermPlan):
            groups = enumerate(plan.groups)
            values |= {_terms_name(number): self._dialect.encode_terms(group) for number, group in groups}
            keys = plan.otherwise
        if isinstance(keys, IndexPlan):
            values |= keys.values()
        plan_shape = plan.shape if plan else None
        shape = _PageShape(frame, query, page.count_only, page.without_documents, page.private, plan_shape)
        return self._statements(shape), values

    def _build(self, shape: _PageShape) -> Statement:
        frame = self._frame(shape.frame)
        matching = conditions(shape.query._replace(tombstones=True), documents, self._dialect)
        make_rows = self._counts if shape.count_only else self._rows
        return Statement(union_all(*frame.branches, *make_rows(shape, frame.gates, matching)))

    def _build_frame(self, shape: _FrameShape) -> _Frame:
        """Return the parts of a page's statement that do not depend on its filters and order."""
        readers = Readers(self._dialect)
        branches = [
            readers.groups_branch(),
            clocks_branch(self._dialect),
            *user_branches(self._dialect, shape.secret_fields),
            *([indexes_branch(self._dialect)] if shape.indexes else []),
        ]
        ancestor_grants: CTE | None = None
        if shape.has_ancestors:
            objects = self._dialect.bound_rows("ancestors", URI_AND_LIST)
            ancestor_grants = readers.grants_on(objects, "held")
            text = self._dialect.text(documents.c.data) if shape.ancestor_documents else literal_column("'{}'", Text)
            branches += [grant_branch(ancestor_grants), documents_branch(self._dialect, objects, text)]
            if shape.ancestor_grants:
                branches.append(all_grants_branch(self._dialect, objects))
        limit: Any = bindparam("limit", type_=BigInteger)
        if shape.conditional:
            limit = case((_newest == bindparam("unless", type_=BigInteger), integer(0)), else_=limit)
        if shape.unrestricted:
            return _Frame((*branches, branch(FULL, n=integer(1))), (_Gate(limit),))
        shared = readers.shared_uris(certain_permissions=shape.certain_permissions)
        # A list without ancestors has no object on which a permission for the whole list could be granted.
        modes = [(self._holds_list_permission(ancestor_grants), integer(0))] if ancestor_grants is not None else []
        if shape.in_order:
            is_in_order = and_(exists(shared.offset(integer(FEW))), self._first_objects_suffice(shape, readers, shared))
            modes.append((is_in_order, integer(2)))
        gate = select((case(*modes, else_=integer(1)) if modes else integer(1)).label("mode")).cte("gate")
        branches.append(branch(FULL, n=flag(gate.c.mode == integer(0))).select_from(gate))
        mode = select(gate.c.mode).scalar_subquery()
        branches.append(branch(SHARES, n=flag(and_(mode > integer(0), exists(shared)))))

        def limit_in(number: int) -> Any:
            return case((mode == integer(number), limit), else_=integer(0))

        gates = [_Gate(limit_in(1), shared.distinct().subquery("shared"))]
        if ancestor_grants is not None:
            gates.append(_Gate(limit_in(0)))
        if shape.in_order:
            same_object = grants.c.uri == documents.c.uri
            granted = readers.shared_uris(same_object, certain_permissions=shape.certain_permissions)
            gates.append(_Gate(limit_in(2), granted=exists(granted)))
        return _Frame(tuple(branches), tuple(gates))

    def _first_objects_suffice(self, shape: _FrameShape, readers: Readers, shared: Select[Any]) -> ColumnElement[bool]:
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
        granted = readers.shared_uris(grants.c.uri == first.c.uri, certain_permissions=shape.certain_permissions)
        is_full = exists(select(first.c.uri).where(exists(granted)).offset(limit - integer(1)))
        return or_(~exists(matching.offset(integer(FEW - 1))), is_full)

    def _holds_list_permission(self, ancestor_grants: CTE) -> ColumnElement[bool]:
        """Return the condition that the readers hold one of the page's `list_permissions` on an ancestor."""
        above = self._dialect.bound_rows("above", VALUE)
        return exists().where(ancestor_grants.c.permission.in_(select(above.c.value)))

    def _rows(
        self, shape: _PageShape, gates: Sequence[_Gate], matching: Sequence[ColumnElement[bool]]
    ) -> Iterator[Select[Any]]:
        """Yield the branches of a page's rows, which have a rank because UNION ALL guarantees no order.

        Documents are converted to text after the LIMIT, since that costs more than the sort. Rows after the object
        that reaches the greatest size of the page have no text; the first two objects always have theirs.
        """
        columns, sort = self._columns(shape, documents)

        def first(rows: FromClause, limit: Any) -> Any:
            order = [in_direction(rows.c[name], descending=descending) for name, descending in sort]
            return select(*rows.c).order_by(*order).limit(limit).subquery()

        def in_rank(rows: FromClause) -> Select[Any]:
            text = _NO_DOCUMENT if shape.without_documents else self._dialect.text(rows.c.data, shape.private)
            # The offset makes the database convert each document once.
            texts = select(*rows.c, text.label("text")).offset(integer(0)).subquery()
            # Both have the same frame, so that the database walks the rows once.
            size = self._dialect.size(texts.c.text)
            rank, total = func.row_number().over(rows=(None, 0)), func.sum(size).over(rows=(None, 0))
            within = case((or_(total - size < _MAX_BYTES, rank <= integer(2)), texts.c.text))
            return branch(ROW, **object_columns(texts, within), rank=rank)

        for gate in gates:
            index, limit = shape.index_shape if gate.whole_list else None, gate.limit
            if isinstance(index, TermShape):
                found = self._with_terms(index)
                with_terms = self._matching(shape, index, found).subquery()
                if not index.bounded:
                    yield in_rank(first(with_terms, limit))
                    continue
                are_few = select(func.count()).select_from(found).scalar_subquery() <= integer(MAX_OBJECTS)
                yield in_rank(first(with_terms, case((are_few, limit), else_=integer(0))))
                index, limit = index.otherwise, case((are_few, integer(0)), else_=limit)
            if index is not None:
                ranges = self._ranges(shape, index, limit, columns)
                is_sorted = index.is_sorted and len(ranges) == 1
                yield in_rank(ranges[0] if is_sorted else first(_union(ranges), limit))
                continue
            states = [
                ~documents.c.deleted,
                *([documents.c.deleted] if shape.query.tombstones and gate.whole_list else []),
            ]
            parts = []
            for state in states:
                selected = gate.restrict(select(*columns).where(state, *matching), self._dialect)
                parts.append(first(selected.subquery(), limit))
            yield in_rank(parts[0] if len(parts) == 1 else first(_union(parts), limit))

    def _columns(self, shape: _PageShape, table: FromClause) -> tuple[list[ColumnElement[Any]], list[tuple[str, bool]]]:
        """Return the columns of a page's rows in a table, and the names and directions of those that sort it."""
        order = ordering(shape.query, table, self._dialect)
        keys = [(_with_label(key, f"key_{number}"), descending) for number, (key, descending) in enumerate(order)]
        unread = ("data",) if shape.without_documents else ()
        columns: list[ColumnElement[Any]] = [table.c[each.name] for each in CONTENTS if each.name not in unread]
        columns += [key for key, _ in keys if key.name not in table.c]
        return columns, [(key.name, descending) for key, descending in keys]

    def _with_terms(self, index: TermShape) -> FromClause:
        """Return the objects that have the terms of a plan; of a bounded page only as many as show that it has more."""
        names = [_terms_name(number) for number in range(index.groups)]
        rows = self._dialect.documents_with_terms(BUCKET, names, every=index.every)
        if index.bounded:
            return rows.limit(integer(MAX_OBJECTS + 1)).cte("found").prefix_with("MATERIALIZED")
        return rows.offset(integer(0)).subquery("found")

    def _matching(self, shape: _PageShape, index: TermShape, found: FromClause) -> Select[Any]:
        """Return the rows of a page among the objects that have the terms of a plan."""
        columns, _ = self._columns(shape, found)
        matching = conditions(shape.query._replace(tombstones=True), found, self._dialect, index.covered)
        return select(*columns).where(found.c.list == _LIST, ~found.c.deleted, *matching)

    def _ranges(
        self, shape: _PageShape, index: IndexShape, limit: Any, columns: Sequence[ColumnElement[Any]]
    ) -> list[Subquery]:
        """Return the first objects of each range of keys that match the other filters, in the order of the keys.

        Nothing but the bucket and the key leads to them: by the list too, a database without statistics takes the wrong
        index. Keys are different in a list, as they end in the timestamp, and only living objects have them.
        """
        key = documents.c[f"k{index.slot}"]
        matching = conditions(shape.query._replace(tombstones=True), documents, self._dialect, index.covered)
        in_range = [
            (key >= bindparam(f"low_{number}", type_=LargeBinary), key < bindparam(f"high_{number}", type_=LargeBinary))
            for number in range(index.ranges)
        ]
        return [
            select(*columns)
            .where(documents.c.bucket == BUCKET, *bounds, *matching)
            .order_by(key)
            .limit(limit)
            .subquery()
            for bounds in in_range
        ]

    def _counts(
        self, shape: _PageShape, gates: Sequence[_Gate], matching: Sequence[ColumnElement[bool]]
    ) -> Iterator[Select[Any]]:
        """Yield the branches that count objects; none for the whole list without a filter, which its clock counts.

        Grants end with their object, so shared objects are counted by their grants alone.
        """
        for gate in gates:
            if isinstance(shape.index_shape, TermShape) and gate.whole_list:
                found = self._with_terms(shape.index_shape)
                counted = select(self._matching(shape, shape.index_shape, found).subquery().c.uri)
            elif isinstance(shape.index_shape, IndexShape) and gate.whole_list:
                key = documents.c[f"k{shape.index_shape.slot}"]
                counted = select(_union(self._ranges(shape, shape.index_shape, gate.limit, [key])).c[key.name])
            elif shape.query.is_narrowed:
                rows = select(documents.c.uri).where(~documents.c.deleted, *matching)
                counted = gate.restrict(rows, self._dialect)
            elif gate.shared is not None:
                counted = select(gate.shared.c.uri)
            else:
                continue
            limited = counted.limit(gate.limit).subquery()
            yield branch(TOTAL, n=select(func.count()).select_from(limited).scalar_subquery())


def _union(parts: Sequence[Subquery]) -> Subquery:
    """Return the rows of all parts."""
    return parts[0] if len(parts) == 1 else union_all(*map(select, parts)).subquery()


def _terms_name(number: int) -> str:
    """Return the name of the bound terms of a group."""
    return f"terms_{number}"


def _with_label(key: ColumnElement[Any], name: str) -> Column[Any] | Label[Any]:
    """Return a key of a sort with a label; a column has a name already."""
    return key if isinstance(key, Column) else key.label(name)
