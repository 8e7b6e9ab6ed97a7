"""The statement that reads a page of a list: its rows, or their number, in a branch for each gate.

The gates (`backends.storage.gates`) decide which objects the readers may get. By terms (`backends.storage.term_plans`)
the whole list of a bounded page has two branches: the objects with the terms (`candidates`, a common table expression
too), and if they are too many the list in its order, or in that of an index.

The index has the living objects of a list before its tombstones, so that neither are read to find the other; a page
with both is composed of two SELECTs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    FromClause,
    Label,
    LargeBinary,
    Select,
    Subquery,
    bindparam,
    case,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement

from backends.storage import LIVING, Page, Selection
from backends.storage.branches import (
    BUCKET,
    NO_DOCUMENT,
    ROW,
    TOTAL,
    branch,
    integer,
    object_columns,
)
from backends.storage.dialect import Dialect
from backends.storage.filters import QueryShape, conditions, describe, in_direction, ordering
from backends.storage.gates import FEW, LIST, Frames, FrameShape, Gate
from backends.storage.index_plans import IndexPlan, IndexShape
from backends.storage.plans import Plan
from backends.storage.statements import Statement
from backends.storage.tables import CONTENTS, documents
from backends.storage.term_plans import MAX_OBJECTS, TermPlan, TermShape

_MAX_BYTES: Final = bindparam("max_bytes", type_=BigInteger)


class _PageShape(NamedTuple):
    """Everything that the SQL of a page depends on."""

    frame: FrameShape
    query: QueryShape
    count_only: bool
    without_documents: bool
    private: tuple[str, ...]
    index_shape: IndexShape | TermShape | None


class Pages:
    """The statements of pages, in one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._frames = Frames(dialect)
        self._statements = lru_cache(maxsize=64)(self._build)

    def statement(
        self, page: Page, selection: Selection, secret_fields: tuple[str, ...], plan: Plan | None
    ) -> tuple[Statement, dict[str, Any]]:
        """Return the statement of the page of a selection, and its parameters for filters, position and *plan*.

        Pages of one shape share one statement, which is made once.
        """
        query, values = describe(page, self._dialect)
        frame = FrameShape(
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
        frame = self._frames.frame(shape.frame)
        matching = conditions(shape.query._replace(tombstones=True), documents, self._dialect)
        make_rows = self._counts if shape.count_only else self._rows
        return Statement(union_all(*frame.branches, *make_rows(shape, frame.gates, matching)))

    def _rows(
        self, shape: _PageShape, gates: Sequence[Gate], matching: Sequence[ColumnElement[bool]]
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
            text = NO_DOCUMENT if shape.without_documents else self._dialect.text(rows.c.data, shape.private)
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
                candidates = self._with_terms(index)
                rows = self._matching(shape, index, candidates).subquery()
                if not index.bounded:
                    yield in_rank(first(rows, limit))
                    continue
                are_few = select(func.count()).select_from(candidates).scalar_subquery() <= integer(MAX_OBJECTS)
                yield in_rank(first(rows, case((are_few, limit), else_=integer(0))))
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
            selects = [gate.restrict(select(*columns).where(state, *matching), self._dialect) for state in states]
            parts = [first(each.subquery(), limit) for each in selects]
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
            return rows.limit(integer(MAX_OBJECTS + 1)).cte("candidates").prefix_with("MATERIALIZED")
        return rows.offset(integer(0)).subquery("candidates")

    def _matching(self, shape: _PageShape, index: TermShape, candidates: FromClause) -> Select[Any]:
        """Return the rows of a page among the objects that have the terms of a plan."""
        columns, _ = self._columns(shape, candidates)
        matching = conditions(shape.query._replace(tombstones=True), candidates, self._dialect, index.covered)
        return select(*columns).where(candidates.c.list == LIST, ~candidates.c.deleted, *matching)

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
        self, shape: _PageShape, gates: Sequence[Gate], matching: Sequence[ColumnElement[bool]]
    ) -> Iterator[Select[Any]]:
        """Yield the branches that count objects; none for the whole list without a filter, which its clock counts.

        Grants end with their object, so shared objects are counted by their grants alone.
        """
        for gate in gates:
            if isinstance(shape.index_shape, TermShape) and gate.whole_list:
                candidates = self._with_terms(shape.index_shape)
                objects = select(self._matching(shape, shape.index_shape, candidates).subquery().c.uri)
            elif isinstance(shape.index_shape, IndexShape) and gate.whole_list:
                key = documents.c[f"k{shape.index_shape.slot}"]
                objects = select(_union(self._ranges(shape, shape.index_shape, gate.limit, [key])).c[key.name])
            elif shape.query.is_narrowed:
                rows = select(documents.c.uri).where(~documents.c.deleted, *matching)
                objects = gate.restrict(rows, self._dialect)
            elif gate.shared is not None:
                objects = select(gate.shared.c.uri)
            else:
                continue
            page_objects = objects.limit(gate.limit).subquery()
            yield branch(TOTAL, n=select(func.count()).select_from(page_objects).scalar_subquery())


def _union(parts: Sequence[Subquery]) -> Subquery:
    """Return the rows of all parts."""
    return parts[0] if len(parts) == 1 else union_all(*map(select, parts)).subquery()


def _terms_name(number: int) -> str:
    """Return the name of the bound terms of a group."""
    return f"terms_{number}"


def _with_label(key: ColumnElement[Any], name: str) -> Column[Any] | Label[Any]:
    """Return a key of a sort with a label; a column has a name already."""
    return key if isinstance(key, Column) else key.label(name)
