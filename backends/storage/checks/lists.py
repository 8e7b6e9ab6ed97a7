"""Check the clocks of lists: whether timestamps are in range, and the count is that of the living objects.

Theory of operation:

- Timestamps from 0 to *latest* are in range: as far ahead as clients may choose. Others come from a service that
  allowed more, from a machine whose clock was wrong, or from the administrator of the database.
- A list is read by one statement, so that its facts are of the same moment and writers are not disturbed. It is
  repaired in a transaction of its own, which locks its clock first and reads it again.
- Objects and tombstones out of range get new timestamps in their order, a different one each, above all timestamps in
  range and not before now. The clock gets the next one, which is newer than any timestamp that a client has from the
  list. `floor` gets it too, so that clients that synchronised before start again. `former` keeps the old clock: by it,
  a client whose timestamp is above the clock is told from one that invented a timestamp (`Clock.outdates`).
- Living grants and memberships out of range begin at that timestamp. Ended ones are from before `floor`, for which
  nobody asks: they are deleted, as purge does.
- The database numbers the rows. No object is read into memory.

    UPDATE documents SET last_modified = CASE WHEN ... THEN :base + ranked.rank ELSE documents.last_modified END, ...
    FROM (SELECT bucket, uri, row_number() OVER (ORDER BY last_modified, uri) AS rank FROM documents ...) AS ranked
    WHERE documents.uri = ranked.uri AND documents.bucket IN (ranked.bucket, ranked.uri)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    FromClause,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from backends.storage import LIVING, bucket_of
from backends.storage.checks.check import count_slashes
from backends.storage.checks.run import CheckRun, Finding
from backends.storage.checks.scope import CheckScope
from backends.storage.dialect import Dialect
from backends.storage.tables import clocks, documents, grants, members, parent_of
from backends.storage.writes import Writer

_MAX_LISTS: Final = 100
"""The greatest number of lists that one statement reads."""

_BUCKET, _LIST = bindparam("of_bucket", type_=Text), bindparam("of_list", type_=Text)
_LATEST, _STAMP = bindparam("latest", type_=BigInteger), bindparam("stamp", type_=BigInteger)
_LIVING: Final = literal_column(str(LIVING), BigInteger)


@dataclass(frozen=True, slots=True)
class ListState:
    """The facts about a list at one moment.

    `clock`, `floor`, `counted` and `former` are columns of its clock. `living` is the number of its living objects,
    `newest` the greatest timestamp of any object (None without objects). `objects`, `grants` and `members` are the
    numbers of rows with a timestamp out of range. `parent`: the object that contains the list exists. Where it was
    deleted, the clock keeps its last count until the list starts again.
    """

    bucket: str
    name: str
    clock: int
    floor: int
    counted: int
    former: int | None
    living: int
    newest: int | None
    objects: int
    grants: int
    members: int
    parent: bool

    def faults(self, latest: int) -> list[str]:
        """Return a description of each fault."""
        rows = {"object": self.objects, "grant": self.grants, "membership": self.members}
        possible = {
            f"its clock {self.clock} is out of range": not 0 <= self.clock <= latest,
            f"its clock {self.clock} is below its newest object {self.newest}": self.clock < (self.newest or 0),
            f"its floor {self.floor} is above its clock {self.clock}": self.floor > self.clock,
            f"its count is {self.counted} and {self.living} object(s) live": self.parent
            and self.counted != self.living,
            **{f"timestamps of {count} {name}(s) are out of range": count > 0 for name, count in rows.items()},
        }
        return [fault for fault, is_present in possible.items() if is_present]

    def needs_timestamps(self, latest: int) -> bool:
        """Return whether timestamps or the clock have to change, so that clients synchronise from the beginning."""
        in_range = max(self.newest or 0, 0) <= self.clock <= latest
        return not in_range or bool(self.objects or self.grants or self.members)


def _is_out_of_range(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return not_(column.between(0, _LATEST))


def _has_wrong_interval(table: Any) -> ColumnElement[bool]:
    """Return the condition that `since` or `until` is out of range."""
    return or_(_is_out_of_range(table.c.since), and_(table.c.until != _LIVING, _is_out_of_range(table.c.until)))


def _is_in_list(uri: ColumnElement[Any], name: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a URI is in a list: a range, which an index serves, and no URI further below."""
    return and_(uri > name.concat("/"), uri < name.concat("0"), count_slashes(uri) == count_slashes(name) + 1)


class ListStatements:
    """The statements that examine and repair lists."""

    def __init__(self, dialect: Dialect) -> None:
        following = select(clocks).where(tuple_(clocks.c.bucket, clocks.c.list) > tuple_(_BUCKET, _LIST))
        self.next_states = _build_states(
            following.order_by(clocks.c.bucket, clocks.c.list).limit(_MAX_LISTS).subquery()
        )
        self.state = _build_states(select(clocks).where(clocks.c.bucket == _BUCKET, clocks.c.list == _LIST).subquery())
        self.newest = _build_newest()
        self.renew_documents = _build_renew_documents(dialect)


class ListExamination:
    """The examination of whole lists; `has_rebuilt` is whether indexes of one of them are to be built again."""

    def __init__(self, run: CheckRun, statements: ListStatements, scope: CheckScope) -> None:
        self._run = run
        self._statements = statements
        self._scope = scope
        self.has_rebuilt = False

    def run(self) -> None:
        """Examine all lists."""
        latest = self._scope.latest
        after = {"of_bucket": "", "of_list": ""}
        while rows := self._run.read(self._statements.next_states, {**after, "latest": latest}):
            for state in (ListState(*row) for row in rows):
                if state.faults(latest):
                    self._run.confirm((state.name,), partial(self._examine, state.name))
            after = {"of_bucket": rows[-1].bucket, "of_list": rows[-1].list}

    def _examine(self, name: str, writer: Writer) -> Sequence[Finding]:
        """Return the faults of a list whose clock is locked, the last one with the repair of all."""
        row = writer.connection.execute(self._statements.state, self._bind(name)).first()
        state = ListState(*row) if row else None
        findings = [Finding(name, fault) for fault in state.faults(self._scope.latest)] if state else []
        if state is None or not findings or not self._run.repair:
            return findings
        if state.needs_timestamps(self._scope.latest) and state.objects:
            writer.indexes.rebuild(name)
            self.has_rebuilt = True
        return [*findings[:-1], replace(findings[-1], repair=self._repair(writer.connection, state))]

    def _bind(self, name: str) -> dict[str, Any]:
        return {"of_bucket": bucket_of(name), "of_list": name, "latest": self._scope.latest}

    def _repair(self, connection: Connection, state: ListState) -> str:
        """Repair a list; return a description of the changes."""
        values, latest = self._bind(state.name), self._scope.latest
        clock, floor, former = state.clock, min(state.floor, state.clock), state.former
        if state.needs_timestamps(latest):
            newest = max(filter(None, connection.execute(self._statements.newest, values).one()), default=0)
            base = max(self._scope.now, newest, state.clock if state.clock <= latest else 0)
            clock = floor = base + state.objects + 1
            before = max(state.clock, state.newest or 0)
            former = max(former or 0, before) if before > clock else former
            if state.objects:
                connection.execute(self._statements.renew_documents, {**values, "base": base})
            for table in (grants, members):
                place = _place(table, state.name)
                delete_ended = delete(table).where(place, table.c.until != _LIVING, _has_wrong_interval(table))
                begin_living = update(table).where(place, _is_out_of_range(table.c.since)).values(since=_STAMP)
                connection.execute(delete_ended, values)
                connection.execute(begin_living, {**values, "stamp": clock})
        columns = {"last_modified": clock, "floor": floor, "former": former, "count": state.living}
        of_list = clocks.c.bucket == state.bucket, clocks.c.list == state.name
        connection.execute(update(clocks).where(*of_list).values(columns))
        rows = state.objects + state.grants + state.members
        return f"{rows} row(s) got new timestamps, clock {clock}, floor {floor}, count {state.living}"


def _build_states(scope: FromClause) -> Select[Any]:
    """Return the statement of the states of the lists whose clocks are the rows of *scope*."""
    out_of_range = or_(_is_out_of_range(documents.c.last_modified), _is_out_of_range(documents.c.born))
    wrong_grants = select(func.count()).where(
        grants.c.bucket == scope.c.bucket,
        grants.c.list == scope.c.list,
        _is_in_list(grants.c.uri, scope.c.list),
        _has_wrong_interval(grants),
    )
    wrong_members = select(func.count()).where(
        _is_in_list(members.c.principal, scope.c.list), _has_wrong_interval(members)
    )
    parent, parent_uri = documents.alias("parent"), parent_of(scope.c.list)
    parent_lives = exists().where(parent.c.bucket == scope.c.bucket, parent.c.uri == parent_uri, ~parent.c.deleted)
    columns = [scope.c[name] for name in ("bucket", "list", "last_modified", "floor", "count", "former")]
    objects = and_(documents.c.bucket == scope.c.bucket, documents.c.list == scope.c.list)
    return (
        select(
            *columns,
            func.count(case((~documents.c.deleted, 1))),
            func.max(documents.c.last_modified),
            func.count(case((out_of_range, 1))),
            wrong_grants.select_from(grants).scalar_subquery(),
            wrong_members.select_from(members).scalar_subquery(),
            or_(parent_uri == "", parent_lives.correlate(scope)),
        )
        .select_from(scope.outerjoin(documents, objects))
        .group_by(*columns)
        .order_by(scope.c.bucket, scope.c.list)
    )


def _build_newest() -> Select[Any]:
    """Return the statement of the newest timestamp in range of a list, in each column with timestamps."""
    newest = []
    for table, place in (
        (documents, and_(documents.c.bucket == _BUCKET, documents.c.list == _LIST)),
        (grants, and_(grants.c.bucket == _BUCKET, grants.c.list == _LIST, _is_in_list(grants.c.uri, _LIST))),
        (members, _is_in_list(members.c.principal, _LIST)),
    ):
        for name in ("born", "last_modified") if table is documents else ("since", "until"):
            column = table.c[name]
            newest.append(select(func.max(column)).where(place, ~_is_out_of_range(column)).scalar_subquery())
    return select(*newest)


def _build_renew_documents(dialect: Dialect) -> Update:
    """Return the statement that gives objects out of range new timestamps, in all copies of each object."""
    other = documents.alias("other")
    rank = func.row_number().over(order_by=(other.c.last_modified, other.c.uri))
    ranks = (
        select(other.c.bucket, other.c.uri, rank.label("rank"))
        .where(
            other.c.bucket == _BUCKET,
            other.c.list == _LIST,
            or_(_is_out_of_range(other.c.last_modified), _is_out_of_range(other.c.born)),
        )
        .subquery("ranked")
    )
    stamp = bindparam("base", type_=BigInteger) + ranks.c.rank
    is_late = _is_out_of_range(documents.c.last_modified)
    document = dialect.with_member(documents.c.data, "last_modified", stamp)
    return (
        update(documents)
        .where(documents.c.uri == ranks.c.uri, documents.c.bucket.in_([ranks.c.bucket, ranks.c.uri]))
        .values(
            last_modified=case((is_late, stamp), else_=documents.c.last_modified),
            born=case((_is_out_of_range(documents.c.born), stamp), else_=documents.c.born),
            data=case((is_late, document), else_=documents.c.data),
        )
    )


def _place(table: Any, name: str) -> ColumnElement[bool]:
    """Return the condition that an interval belongs to a list; at the top, those in the objects' own buckets too."""
    if table is members:
        return _is_in_list(members.c.principal, _LIST)
    in_bucket = grants.c.bucket == _BUCKET
    in_buckets = or_(in_bucket, grants.c.bucket == grants.c.uri) if name.count("/") == 1 else in_bucket
    return and_(in_buckets, grants.c.list == _LIST, _is_in_list(grants.c.uri, _LIST))
