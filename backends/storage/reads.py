"""Read from one bucket by one SELECT, and sort its rows into a snapshot.

Theory of operation:

- A read is one statement, so all its facts are of the same moment: the ETag that comes from a clock fits the rows of
  the page. Outside of a transaction it runs in autocommit: one round trip, no BEGIN, no COMMIT. Inside a transaction
  (READ COMMITTED) it sees everything that was committed before the statement began, and the transaction's own writes.
  Selections of several buckets are several statements, each of its own moment.
- The statement is a UNION ALL. Each branch is a SELECT of one kind of fact and has the same columns: `source`, the
  number of the branch, then `a` to `rank`, whose meaning depends on the source (`backends/storage/branches.py`).
  `collect` looks at `source` and adds each row to the snapshot.
- The groups of the readers are read once, as the common table expression `joined`; `principals` are the readers and
  these groups; `held` are the grants of these principals on the ancestors. Later branches use them.
- Many values (URIs, lists, principals) are bound as one array each, read as a table, and every row of that table is
  looked up by itself in an index (`Dialect.look_up`). So the SQL is the same for any number of values, and the plan
  depends neither on statistics nor on that number: it is right for new tables and in prepared statements too.
- Every table in every branch has its bucket as a literal condition, so that a cluster asks one machine. Only `members`
  has no bucket: every machine has a copy.
- The rows of a page come from up to three branches (`backends/storage/pages.py`). The LIMIT of each is its *gate*: the
  limit of the page in the branch that is open, 0 in the others, which then cost nothing.
- A page with filters, words or a sort also reads the indexes of its list. It was made for the indexes that the process
  remembers; if the statement shows that the one it used has changed, or the texts that its words are searched in, its
  rows are not used and it is made once more.
- Statements are compiled once for each shape and kept (`backends/storage/statements.py`), filters and orders included.

One example, shortened: the SQL on PostgreSQL for the record r, of which eve is a reader.

    WITH joined AS MATERIALIZED (SELECT ... FROM unnest(:readers) AS reader(value) JOIN LATERAL (SELECT user_id,
           principal FROM members WHERE until = 9223372036854775807 AND user_id = reader.value ... OFFSET 0) ON true),
         principals AS MATERIALIZED (SELECT value FROM unnest(:readers) ... UNION ALL SELECT principal FROM joined),
         held AS MATERIALIZED (SELECT ... FROM principals JOIN unnest(:ancestors_uri, :ancestors_list) ... grants ...)
    SELECT 0 AS source, user_id AS a, principal AS b, NULL AS c, NULL AS n, ... FROM joined
    UNION ALL SELECT 1, uri, permission, principal, NULL, NULL, NULL, NULL FROM held
    UNION ALL SELECT 3, uri, NULL, data::TEXT, last_modified, born, CASE WHEN deleted THEN 1 END, NULL
           FROM unnest(:targets_uri ...)
           AS target(uri, list) JOIN LATERAL (SELECT ... FROM documents WHERE bucket = :bucket AND uri = target.uri
           AND uri BETWEEN target.uri AND target.uri OFFSET 0) AS each ON true

    Selection("/buckets/b", targets=("/buckets/b/collections/c/records/r",), limited_grants=True,
              ancestors=("/buckets/b", "/buckets/b/collections/c"), readers=("account:eve", "system.Everyone"))
    Snapshot(objects={"/buckets/b/collections/c/records/r": Stored(..., timestamp=1750000000002, deleted=False,
                      born=1750000000001, text='{"id":"r","last_modified":1750000000002}'), ...},
             grants={"/buckets/b": {"read": {"/buckets/b/groups/g"}}},
             groups={"account:eve": {"/buckets/b/groups/g"}})
    Page("/buckets/b/collections/c/records", limit=101, tombstones=True,
         filters=(Filter(("last_modified",), "gt", 1750000000000),))
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import literal_column, select, union_all

from backends.storage import Clock, Conflict, Index, Page, Selection, Snapshot, Stored, User, UserState
from backends.storage.branches import (
    CLOCK,
    FULL,
    GRANT,
    GROUP,
    INDEX,
    MEMBER,
    OBJECT,
    PERMISSIONS,
    ROW,
    SHARES,
    TOTAL,
    URI_AND_LIST,
    USER,
    Readers,
    all_grants_branch,
    ancestor_branches,
    bind_objects,
    bind_ranges,
    bind_users,
    bind_values,
    cascade_branches,
    clocks_branch,
    documents_branch,
    grant_branch,
    indexes_branch,
    members_branch,
    read_index,
    user_branches,
)
from backends.storage.dialect import Dialect
from backends.storage.explanations import MAX_COUNTED, counting, explain
from backends.storage.index_plans import may_use_index
from backends.storage.indexes import TEXT
from backends.storage.pages import Pages
from backends.storage.plans import Plan, choose
from backends.storage.sessions import Session
from backends.storage.statements import Statement
from backends.storage.tables import documents


class _SelectionShape(NamedTuple):
    """The parts of a selection without a page that its SQL depends on.

    `present` tells which of the fields `targets`, `ancestors`, `clocks`, `groups`, `cascade_roots` and `indexes` have
    values; `secret_fields` has one item for each branch of users.
    """

    present: tuple[bool, ...]
    ancestor_documents: bool
    ancestor_grants: bool
    limited_grants: bool
    private: tuple[str, ...]
    secret_fields: tuple[str, ...]
    with_lock: bool


_INDEX_TRIES: Final = 2
"""How many times a page is read by an index that may have changed since the last read of the list."""

_MAX_TRIES: Final = 10
"""How many times a page is read at most: its words are searched in the texts that the list has now."""

_MAX_INDEXED_LISTS: Final = 10_000
"""The greatest number of lists whose indexes a process remembers."""

_BINDERS: Final = {
    "targets": bind_objects,
    "ancestors": bind_objects,
    "clocks": bind_values,
    "readers": bind_values,
    "groups": bind_values,
    "cascade_roots": bind_ranges,
    "indexes": bind_values,
}
"""The fields of Selection that are bound as tables, and how."""


class Reads:
    """The statements of reads, in one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._objects = lru_cache(maxsize=64)(self._build_objects)
        self._pages = Pages(dialect)
        self._indexes: dict[str, tuple[Index, ...]] = {}

    def run(self, session: Session, selection: Selection, *, with_lock: bool = False) -> Snapshot:
        """Execute the one statement of a selection; *with_lock* the snapshot has `locked`, for one without a page."""
        page = selection.page
        if page is not None and (may_use_index(page) or page.words or page.explain):
            selection = replace(selection, indexes=tuple({page.list, *selection.indexes}))
        parameters: dict[str, Any] = {"bucket": selection.bucket}
        for name, bind in _BINDERS.items():
            values = getattr(selection, name)
            if values or name == "readers" or (page and name == "clocks"):
                parameters |= bind(self._dialect, name, values)
        secret_fields: tuple[str, ...] = ()
        if selection.users:
            secret_fields, user_parameters = bind_users(self._dialect, selection.users)
            parameters |= user_parameters
        if page is None:
            return self._read_objects(session, selection, parameters, secret_fields, with_lock=with_lock)
        parameters |= {
            "list": page.list,
            "limit": page.limit,
            "max_bytes": page.max_bytes,
            "unless": page.unless_timestamp,
            **bind_values(self._dialect, "above", page.list_permissions),
            **bind_values(self._dialect, "own", page.object_permissions or ()),
        }
        snapshot = self._read_page(session, selection, page, parameters, secret_fields)
        if selection.ancestor_grants:
            snapshot.fully_granted = set(selection.ancestors)
        return snapshot

    def _read_objects(
        self,
        session: Session,
        selection: Selection,
        parameters: Mapping[str, Any],
        secret_fields: tuple[str, ...],
        *,
        with_lock: bool,
    ) -> Snapshot:
        """Read a selection without a page."""
        tables = (
            selection.targets,
            selection.ancestors,
            selection.clocks,
            selection.groups,
            selection.cascade_roots,
            selection.indexes,
        )
        shape = _SelectionShape(
            tuple(map(bool, tables)),
            selection.ancestor_documents,
            selection.ancestor_grants,
            selection.limited_grants,
            selection.private,
            secret_fields,
            with_lock,
        )
        snapshot = collect(self._objects(shape).rows(session, parameters))
        snapshot.members = {group: snapshot.members.get(group, set()) for group in selection.groups}
        if selection.ancestor_grants:
            targets = () if selection.limited_grants else selection.targets
            snapshot.fully_granted = {*selection.ancestors, *targets}
        return snapshot

    def _read_page(
        self,
        session: Session,
        selection: Selection,
        page: Page,
        parameters: Mapping[str, Any],
        secret_fields: tuple[str, ...],
    ) -> Snapshot:
        """Read a page by the indexes that the list had at its last read.

        If the statement finds that the index that it used has changed, or the texts that it searched, its rows are not
        used and the page is read once more. For an explanation the objects that the index gives are counted, unless the
        readers may not read the whole list: these get no explanation.
        """
        indexes: Sequence[Index] = self._indexes.get(page.list, ())
        for number in range(_MAX_TRIES):
            current = with_texts(page, indexes)
            plan = choose(current, indexes) if number < _INDEX_TRIES else None
            statement, values = self._pages.statement(current, selection, secret_fields, plan)
            sql = statement.sql(session)
            start = time.perf_counter() if page.explain else 0.0
            rows = session.rows(sql, {**parameters, **values})
            seconds = time.perf_counter() - start if page.explain else 0.0
            snapshot = collect(rows)
            if selection.indexes:
                indexes = [index for index in snapshot.indexes if index.list == page.list]
                self._remember(page.list, indexes)
            is_settled = number >= _INDEX_TRIES or _is_current(current, plan, indexes)
            if is_settled and current.texts == with_texts(page, indexes).texts:
                break
        else:
            raise Conflict(f"The indexes of {page.list} changed {_MAX_TRIES} times while it was read.")
        count = snapshot.clocks[page.list].count if page.list in snapshot.clocks else 0
        if page.count_only and not (current.filters or current.words) and snapshot.full:
            snapshot.total = count
        if page.explain:
            if plan is not None and snapshot.full:
                counting_page, counting_plan = counting(current, plan)
                statement, values = self._pages.statement(counting_page, selection, secret_fields, counting_plan)
                count = collect(statement.rows(session, {**parameters, **values, "limit": MAX_COUNTED})).total
            snapshot.explanation = explain(current, plan, indexes, count, seconds * 1000)
        return snapshot

    def _remember(self, name: str, indexes: Sequence[Index]) -> None:
        """Remember the indexes of a list for the next read. Most lists have none."""
        if not indexes:
            self._indexes.pop(name, None)
        elif name in self._indexes or len(self._indexes) < _MAX_INDEXED_LISTS:
            self._indexes[name] = tuple(indexes)

    def _build_objects(self, shape: _SelectionShape) -> Statement:
        dialect = self._dialect
        targets, ancestors, clocks, groups, cascade_roots, indexes = shape.present
        readers = Readers(dialect)
        branches = [readers.groups_branch(), *user_branches(dialect, shape.secret_fields)]
        if targets:
            objects = dialect.bound_rows("targets", URI_AND_LIST)
            with_all_grants: Any = objects
            if shape.limited_grants:
                reader_grants = readers.grants_on(objects, "held_on_targets")
                branches.append(grant_branch(reader_grants))
                is_write = reader_grants.c.permission == literal_column("'write'")
                with_all_grants = select(reader_grants.c.uri).where(is_write).distinct().subquery("written")
            text = dialect.text(documents.c.data, shape.private)
            branches += [all_grants_branch(dialect, with_all_grants), documents_branch(dialect, objects, text)]
        if ancestors:
            _, ancestors_and_grants = ancestor_branches(
                dialect, readers, with_documents=shape.ancestor_documents, with_all_grants=shape.ancestor_grants
            )
            branches += ancestors_and_grants
        if clocks:
            branches.append(clocks_branch(dialect, with_lock=shape.with_lock))
        if groups:
            branches.append(members_branch(dialect))
        if cascade_roots:
            branches += cascade_branches(dialect)
        if indexes:
            branches.append(indexes_branch(dialect))
        return Statement(union_all(*branches))


def with_texts(page: Page, indexes: Iterable[Index]) -> Page:
    """Return a page whose words are searched in the fields of the indexes by texts, without words if there are none."""
    if not page.words:
        return page
    texts = sorted(
        tuple(field.path for field in index.definition.fields) for index in indexes if index.definition.kind == TEXT
    )
    return replace(page, texts=tuple(texts), words=page.words if texts else ())


def _is_current(page: Page, plan: Plan | None, indexes: Sequence[Index]) -> bool:
    """Return whether the *indexes* of a list allow the plan that its page was read by.

    The process may not know a new index yet; then only an explained page is read again.
    """
    if page.explain:
        return plan == choose(page, indexes)
    return plan is None or all(index in indexes for index in plan.indexes)


def collect(rows: Iterable[Any]) -> Snapshot:
    """Sort the rows of a statement into a snapshot."""
    snapshot = Snapshot()
    page: dict[int, Stored] = {}
    for row in rows:
        source, a, b, c, n, m, d, rank = row
        if source == ROW and c is not None:
            page[rank] = Stored(a, n, d == 1, m, c)
        elif source == GRANT:
            snapshot.grants.setdefault(a, {}).setdefault(b, set()).add(c)
        elif source == OBJECT:
            snapshot.objects[a] = Stored(a, n, d == 1, m, c)
        elif source == GROUP:
            snapshot.groups.setdefault(a, set()).add(b)
        elif source == CLOCK:
            snapshot.clocks[a] = Clock(n, m, d)
            if b:
                snapshot.locked.add(a)
        elif source == MEMBER:
            snapshot.members.setdefault(a, set()).add(b)
        elif source == PERMISSIONS:
            snapshot.permissions.setdefault(a, set()).update(b.split())
        else:
            _add_single(snapshot, row)
    snapshot.page = [page[rank] for rank in sorted(page)]
    return snapshot


def _add_single(snapshot: Snapshot, row: Any) -> None:
    """Add a row of a source that has one row, or one for each branch, or an object that a page leaves out."""
    source, a, b, c, n, *_ = row
    if source == ROW:
        snapshot.is_cut = True
    elif source == TOTAL:
        snapshot.total += n
    elif source == FULL:
        snapshot.full = n == 1
    elif source == SHARES:
        snapshot.has_shared = n == 1
    elif source == INDEX:
        snapshot.indexes.append(read_index(row))
    elif source == USER:
        snapshot.users[User(a, b)] = UserState(n, c)
