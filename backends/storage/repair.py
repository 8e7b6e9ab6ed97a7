"""Find lists whose clock, timestamps or count are wrong, and mend them (`kinto check --repair`).

Theory of operation:

- Timestamps from 0 to *latest* are in range: as far ahead as clients may choose. Others come from a service that
  allowed more, from a machine whose clock was wrong, or from the database's administrator.
- A list is read by one statement, so that all of it is of one moment and writers do not disturb. It is mended in a
  transaction of its own that locks its clock first and reads it again.
- Objects and tombstones out of range get new timestamps in their order, each its own, above all that are in range and
  not before now. The clock takes the next one: nothing that a client knows of the list is as new. `floor` takes it too,
  so that clients that synchronised before begin again. `former` keeps what the clock was: it tells clients whose
  timestamp is above the clock from those that made one up (`backends.storage.Clock.outdates`).
- Grants and memberships that hold begin at that timestamp. Those that have ended are of a time before `floor`, which
  nobody asks for: they are deleted, as purge does.
- The database numbers the rows. No object is read into memory.

    UPDATE documents SET last_modified = CASE WHEN ... THEN :base + ranked.rank ELSE documents.last_modified END, ...
    FROM (SELECT bucket, uri, row_number() OVER (ORDER BY last_modified, uri) AS rank FROM documents ...) AS ranked
    WHERE documents.uri = ranked.uri AND documents.bucket IN (ranked.bucket, ranked.uri)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
from backends.storage.dialect import Dialect
from backends.storage.tables import clocks, documents, grants, members

_AT_ONCE: Final = 100
"""How many lists one statement reads."""

_bucket, _list = bindparam("of_bucket", type_=Text), bindparam("of_list", type_=Text)
_latest, _stamp = bindparam("latest", type_=BigInteger), bindparam("stamp", type_=BigInteger)
_living: Final = literal_column(str(LIVING), BigInteger)


@dataclass(frozen=True, slots=True)
class State:
    """What one moment showed of a list.

    `living` objects and the `newest` timestamp of any (None where there are none) are those that there are. `objects`,
    `grants` and `members` count the rows that have a timestamp out of range. Without `parent` the object that holds the
    list was deleted: the clock stays behind with its last count, until the list starts again.
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
        """Say what is wrong, nothing where all is right."""
        rows = {"object": self.objects, "grant": self.grants, "membership": self.members}
        possible = {
            f"its clock {self.clock} is out of range": not 0 <= self.clock <= latest,
            f"its clock {self.clock} is below its newest object {self.newest}": self.clock < (self.newest or 0),
            f"its floor {self.floor} is above its clock {self.clock}": self.floor > self.clock,
            f"its count is {self.counted} and {self.living} object(s) live": self.parent
            and self.counted != self.living,
            **{f"timestamps of {count} {name}(s) are out of range": count > 0 for name, count in rows.items()},
        }
        return [fault for fault, holds in possible.items() if holds]

    def restamps(self, latest: int) -> bool:
        """Say whether timestamps or the clock have to change, so that clients begin again."""
        within = max(self.newest or 0, 0) <= self.clock <= latest
        return not within or bool(self.objects or self.grants or self.members)


def _outside(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return not_(column.between(0, _latest))


def _wrong(table: Any) -> ColumnElement[bool]:
    """Say that an interval has an end out of range."""
    return or_(_outside(table.c.since), and_(table.c.until != _living, _outside(table.c.until)))


def _slashes(text: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.length(text) - func.length(func.replace(text, "/", ""))


def _around(name: ColumnElement[Any]) -> ColumnElement[str]:
    """Return the URI of the object that a list is in, nothing for a list at the top."""
    return func.rtrim(func.rtrim(name, func.replace(name, "/", "")), "/", type_=Text)


def _in_list(uri: ColumnElement[Any], name: ColumnElement[Any]) -> ColumnElement[bool]:
    """Say that a URI is one of a list: a range that an index has, and no URI further below."""
    return and_(uri > name.concat("/"), uri < name.concat("0"), _slashes(uri) == _slashes(name) + 1)


class Repairs:
    """The statements of one database dialect."""

    def __init__(self, dialect: Dialect) -> None:
        following = select(clocks).where(tuple_(clocks.c.bucket, clocks.c.list) > tuple_(_bucket, _list))
        self._following = _states(following.order_by(clocks.c.bucket, clocks.c.list).limit(_AT_ONCE).subquery())
        self._one = _states(select(clocks).where(clocks.c.bucket == _bucket, clocks.c.list == _list).subquery())
        self._newest = _newest()
        self._documents = _restamp(dialect)

    def states(self, connection: Connection, latest: int) -> Iterator[State]:
        """Yield the state of every list."""
        after = {"of_bucket": "", "of_list": ""}
        while rows := connection.execute(self._following, {**after, "latest": latest}).all():
            yield from (State(*row) for row in rows)
            after = {"of_bucket": rows[-1].bucket, "of_list": rows[-1].list}

    def repair(self, connection: Connection, name: str, now: int, latest: int) -> str:
        """Mend a list whose clock is locked, and return what was done, nothing where all was right."""
        values: dict[str, Any] = {"of_bucket": bucket_of(name), "of_list": name, "latest": latest}
        row = connection.execute(self._one, values).first()
        state = State(*row) if row else None
        if state is None or not state.faults(latest):
            return ""
        clock, floor, former = state.clock, min(state.floor, state.clock), state.former
        if state.restamps(latest):
            newest = max(filter(None, connection.execute(self._newest, values).one()), default=0)
            base = max(now, newest, state.clock if state.clock <= latest else 0)
            clock = floor = base + state.objects + 1
            before = max(state.clock, state.newest or 0)
            former = max(former or 0, before) if before > clock else former
            if state.objects:
                connection.execute(self._documents, {**values, "base": base})
            for table in (grants, members):
                place = _place(table, name)
                ended = delete(table).where(place, table.c.until != _living, _wrong(table))
                began = update(table).where(place, _outside(table.c.since)).values(since=_stamp)
                connection.execute(ended, values)
                connection.execute(began, {**values, "stamp": clock})
        numbers = {"last_modified": clock, "floor": floor, "former": former, "count": state.living}
        connection.execute(update(clocks).where(clocks.c.bucket == state.bucket, clocks.c.list == name).values(numbers))
        restamped = state.objects + state.grants + state.members
        return f"{restamped} row(s) got new timestamps, clock {clock}, floor {floor}, count {state.living}"


def _states(some: FromClause) -> Select[Any]:
    """Make the statement of the states of *some* clocks."""
    out_of_range = or_(_outside(documents.c.last_modified), _outside(documents.c.born))
    granted = select(func.count()).where(
        grants.c.bucket == some.c.bucket,
        grants.c.list == some.c.list,
        _in_list(grants.c.uri, some.c.list),
        _wrong(grants),
    )
    joined = select(func.count()).where(_in_list(members.c.principal, some.c.list), _wrong(members))
    parent, around = documents.alias("parent"), _around(some.c.list)
    lives = exists().where(parent.c.bucket == some.c.bucket, parent.c.uri == around, ~parent.c.deleted)
    columns = [some.c[name] for name in ("bucket", "list", "last_modified", "floor", "count", "former")]
    objects = and_(documents.c.bucket == some.c.bucket, documents.c.list == some.c.list)
    return (
        select(
            *columns,
            func.count(case((~documents.c.deleted, 1))),
            func.max(documents.c.last_modified),
            func.count(case((out_of_range, 1))),
            granted.select_from(grants).scalar_subquery(),
            joined.select_from(members).scalar_subquery(),
            or_(around == "", lives.correlate(some)),
        )
        .select_from(some.outerjoin(documents, objects))
        .group_by(*columns)
        .order_by(some.c.bucket, some.c.list)
    )


def _newest() -> Select[Any]:
    """Make the statement of the newest timestamps in range that a list has, of each kind."""
    found = []
    for table, place in (
        (documents, and_(documents.c.bucket == _bucket, documents.c.list == _list)),
        (grants, and_(grants.c.bucket == _bucket, grants.c.list == _list, _in_list(grants.c.uri, _list))),
        (members, _in_list(members.c.principal, _list)),
    ):
        for name in ("born", "last_modified") if table is documents else ("since", "until"):
            column = table.c[name]
            found.append(select(func.max(column)).where(place, ~_outside(column)).scalar_subquery())
    return select(*found)


def _restamp(dialect: Dialect) -> Update:
    """Make the statement that gives objects out of range new timestamps, in all copies of each."""
    other = documents.alias("other")
    rank = func.row_number().over(order_by=(other.c.last_modified, other.c.uri))
    ranked = (
        select(other.c.bucket, other.c.uri, rank.label("rank"))
        .where(
            other.c.bucket == _bucket,
            other.c.list == _list,
            or_(_outside(other.c.last_modified), _outside(other.c.born)),
        )
        .subquery("ranked")
    )
    stamp = bindparam("base", type_=BigInteger) + ranked.c.rank
    late = _outside(documents.c.last_modified)
    restamped = dialect.with_number(documents.c.data, "last_modified", stamp)
    return (
        update(documents)
        .where(documents.c.uri == ranked.c.uri, documents.c.bucket.in_([ranked.c.bucket, ranked.c.uri]))
        .values(
            last_modified=case((late, stamp), else_=documents.c.last_modified),
            born=case((_outside(documents.c.born), stamp), else_=documents.c.born),
            data=case((late, restamped), else_=documents.c.data),
        )
    )


def _place(table: Any, name: str) -> ColumnElement[bool]:
    """Say that an interval belongs to a list: of an object at the top that of its own bucket too."""
    if table is members:
        return _in_list(members.c.principal, _list)
    own = grants.c.bucket == _bucket
    everywhere = or_(own, grants.c.bucket == grants.c.uri) if name.count("/") == 1 else own
    return and_(everywhere, grants.c.list == _list, _in_list(grants.c.uri, _list))
