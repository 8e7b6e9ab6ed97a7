"""The statement that reads a page of a list.

Three gated branches give its rows, of which one is open:

- `full`: the readers may deal with the whole list, by what they hold on the objects around it.
- `shared`: they were granted few single objects, which are looked up.
- `crowded`: they were granted more than `FEW`. The list is read in its order, and each object asks for its grants.

One WHERE with an OR would look at every object of the list. The gate is the LIMIT, since SQLite skips a branch by
nothing else. An index has the living objects of a list before its tombstones, so that neither has to be read past; a
page with both is put together of two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    FromClause,
    Label,
    Select,
    Text,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import CompoundSelect

from backends.storage import Page
from backends.storage.branches import (
    BUCKET,
    FULL,
    PLACE,
    ROW,
    SHARES,
    TOTAL,
    VALUE,
    Readers,
    branch,
    clocks_branch,
    documents_branch,
    grant_branch,
    object_columns,
    user_branches,
)
from backends.storage.dialect import Dialect
from backends.storage.filters import conditions, directed, named, ordering
from backends.storage.tables import clocks, documents, grants

FEW: Final = 1_000
"""How many objects that were granted one by one are looked up for a page, instead of reading the list in its order."""

_LIST: Final = bindparam("list", type_=Text)
_IN_LIST: Final = (documents.c.bucket == BUCKET, documents.c.list == _LIST)
_timestamp: Final = (
    select(clocks.c.last_modified).where(clocks.c.bucket == BUCKET, clocks.c.list == _LIST).scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class _Gate:
    """How many rows one branch of a page may give, and which ones.

    All of the list; those that are `shared`; or those for which `granted` holds.
    """

    limit: Any
    shared: FromClause | None = None
    granted: ColumnElement[bool] | None = None

    def passing(self, rows: Select[Any], dialect: Dialect) -> Select[Any]:
        """Return those of the living objects *rows* that may pass."""
        if self.shared is not None:
            return dialect.look_up(rows, self.shared, documents.c.uri == self.shared.c.uri)
        return rows if self.granted is None else rows.where(self.granted)

    @property
    def everything(self) -> bool:
        """Say whether all of the list may pass. Of what is shared no tombstones are shown (C-PERM-16)."""
        return self.shared is None and self.granted is None


@dataclass(frozen=True, slots=True)
class _Frame:
    """The branches of a page's statement beside its rows, and the gates of those."""

    branches: tuple[Select[Any], ...]
    gates: tuple[_Gate, ...]


class Pages:
    """The statements of pages in one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._frame = lru_cache(maxsize=64)(self._build_frame)
        self._kept = lru_cache(maxsize=64)(self._build)

    def statement(
        self, page: Page, around: bool, bodies: bool, users: tuple[str, ...]
    ) -> tuple[CompoundSelect[Any], dict[str, Any]]:
        """Return the statement of a page, a kept one where only named values differ, and those values."""
        shape = replace(page, limit=0, above=(), own=page.own and ("",), unless=None if page.unless is None else 0)
        renamed = named(shape)
        if renamed is None:
            return self._build(shape, around, bodies, users), {}
        shape, values = renamed
        return self._kept(replace(shape, list=""), around, bodies, users), values

    def _build(self, page: Page, around: bool, bodies: bool, users: tuple[str, ...]) -> CompoundSelect[Any]:
        by_time = page.order[0].path == ("last_modified",)
        # A filter inside documents stands in every branch, and a list that is walked for it may be walked in vain.
        walked = by_time and not page.counting and all(each.path == ("last_modified",) for each in page.filters)
        frame = self._frame(page.whole, around, bodies, page.own is not None, page.unless is not None, walked, users)
        matching = conditions(replace(page, tombstones=True), documents, self._dialect)
        if page.counting:
            return union_all(*frame.branches, *self._counts(frame.gates, matching, bool(page.filters)))
        return union_all(*frame.branches, *self._rows(page, frame.gates, matching))

    def _build_frame(
        self, whole: bool, around: bool, bodies: bool, owned: bool, unless: bool, walked: bool, users: tuple[str, ...]
    ) -> _Frame:
        """Return all of a page's statement but its rows: what does not depend on filters and sorting."""
        readers = Readers(self._dialect)
        branches = [readers.groups(), clocks_branch(self._dialect), *user_branches(self._dialect, users)]
        held: CTE | None = None
        if around:
            objects = self._dialect.rows("ancestors", PLACE)
            held = readers.held(objects, "held")
            text = self._dialect.text(documents.c.data) if bodies else literal_column("'{}'", Text)
            branches += [grant_branch(held), documents_branch(self._dialect, objects, text)]
        limit: Any = bindparam("limit", type_=BigInteger)
        if unless:
            limit = case((_timestamp == bindparam("unless", type_=BigInteger), 0), else_=limit)
        if whole:
            return _Frame((*branches, branch(FULL, n=literal_column("1"))), (_Gate(limit),))
        shared = readers.shared(owned)
        branches.append(branch(SHARES, n=case((exists(shared), 1), else_=0)))
        # Without objects around there is nothing to be allowed on.
        modes = [(self._allowed(held), 0)] if held is not None else []
        if walked:
            modes.append((exists(shared.offset(literal_column(str(FEW)))), 2))
        gate = select((case(*modes, else_=1) if modes else literal_column("1")).label("mode")).cte("gate")
        branches.append(branch(FULL, n=case((gate.c.mode == 0, 1), else_=0)).select_from(gate))
        mode = select(gate.c.mode).scalar_subquery()

        def limited(number: int) -> Any:
            return case((mode == number, limit), else_=0)

        gates = [_Gate(limited(1), shared.distinct().subquery("shared"))]
        if held is not None:
            gates.append(_Gate(limited(0)))
        if walked:
            gates.append(_Gate(limited(2), granted=exists(readers.shared(owned, grants.c.uri == documents.c.uri))))
        return _Frame(tuple(branches), tuple(gates))

    def _allowed(self, held: CTE) -> ColumnElement[bool]:
        """Say whether the readers may deal with the whole list: they hold one of the permissions `above` around it."""
        above = self._dialect.rows("above", VALUE)
        return exists().where(held.c.permission.in_(select(above.c.value)))

    def _rows(
        self, page: Page, gates: Sequence[_Gate], matching: Sequence[ColumnElement[bool]]
    ) -> Iterator[Select[Any]]:
        """Make the branches of a page's rows, numbered because UNION ALL promises no order.

        The text of a document is made of the rows that are left, since making it costs more than the sort.
        """
        order = ordering(page, documents, self._dialect)
        keys = [(_named(key, f"key_{number}"), descending) for number, (key, descending) in enumerate(order)]
        columns = [*documents.c, *(key for key, _ in keys if key.name not in documents.c)]

        def first(rows: FromClause, limit: Any) -> Any:
            sort = [directed(rows.c[key.name], descending) for key, descending in keys]
            return select(*rows.c).order_by(*sort).limit(limit).subquery()

        for gate in gates:
            lives = [~documents.c.deleted, *([documents.c.deleted] if page.tombstones and gate.everything else [])]
            parts = []
            for life in lives:
                rows = gate.passing(select(*columns).where(*_IN_LIST, life, *matching), self._dialect)
                parts.append(first(rows.subquery(), gate.limit))
            rows = parts[0] if len(parts) == 1 else first(union_all(*map(select, parts)).subquery(), gate.limit)
            text = self._dialect.text(rows.c.data, page.private)
            yield branch(ROW, **object_columns(rows, text), rank=func.row_number().over())

    def _counts(
        self, gates: Sequence[_Gate], matching: Sequence[ColumnElement[bool]], filtered: bool
    ) -> Iterator[Select[Any]]:
        """Make the branches that count what matches; none where the clock knows it.

        Grants end with their object, so what is shared is counted by them alone.
        """
        for gate in gates:
            if filtered:
                rows = select(documents.c.uri).where(*_IN_LIST, ~documents.c.deleted, *matching)
                found = gate.passing(rows, self._dialect)
            elif gate.shared is not None:
                found = select(gate.shared.c.uri)
            else:
                continue
            limited = found.limit(gate.limit).subquery()
            yield branch(TOTAL, n=select(func.count()).select_from(limited).scalar_subquery())


def _named(key: ColumnElement[Any], name: str) -> Column[Any] | Label[Any]:
    """Return a key of a sort under a name: a column has one."""
    return key if isinstance(key, Column) else key.label(name)
