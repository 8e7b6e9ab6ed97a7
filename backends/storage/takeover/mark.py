"""The mark of a takeover: when it was, and by which numbers later writes of Kinto or of this service are noticed.

Kinto gives every write a timestamp above all others of its list, usually that of the present. The mark remembers the
newest timestamp that was not in the future (`newest`), and how many objects were above it (`later`), so that a start
finds out by a range of Kinto's own index whether there are more by now. `kinto migrate` also compares all numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, MetaData, Numeric, Table, delete, func, insert, select, text

from backends.storage.migrations import VERSION_TABLE, SchemaError
from backends.storage.tables import clocks, documents
from backends.storage.takeover.detection import NOT_TAKEN_OVER

_NAMES: Final = ("taken_at", "newest", "later", "objects", "permissions", "clocks")

marks: Final = Table(
    "kinto_flask_takeover",
    MetaData(),
    *(Column(name, BigInteger, nullable=False) for name in _NAMES),
    Column("stamps", Numeric, nullable=False),
    Column("clock_stamps", Numeric, nullable=False),
)

_HELP: Final = (
    'If nothing was written to this service since, "kinto migrate --again" takes everything over once more. '
    'Otherwise decide which service has the data: docs/production.md, "Coming from Kinto".'
)

_presence = text(f"SELECT to_regclass('{marks.name}'), to_regclass('objects'), to_regclass('{VERSION_TABLE}')")
_is_kinto = text("SELECT to_regprocedure('as_epoch(timestamp)'), to_regclass('access_control_entries')")
_newest = text("SELECT coalesce(max(as_epoch(last_modified)), 0) FROM objects WHERE as_epoch(last_modified) <= :now")
_later = text("SELECT count(*) FROM objects WHERE as_epoch(last_modified) > :newest")
_totals = text("""
    SELECT count(*), coalesce(sum(as_epoch(last_modified)), 0), (SELECT count(*) FROM access_control_entries)
    FROM objects
""")
_examples = text("""
    SELECT format('%s %s %s', resource_name, parent_id, id)
    FROM objects WHERE as_epoch(last_modified) > :newest ORDER BY as_epoch(last_modified) DESC, id LIMIT 3
""")


@dataclass(frozen=True, slots=True)
class Mark:
    """A row of the table, as described in the module."""

    taken_at: int
    newest: int
    later: int
    objects: int
    permissions: int
    clocks: int
    stamps: int
    clock_stamps: int

    @property
    def when(self) -> str:
        """Return the time of the takeover in UTC."""
        return datetime.fromtimestamp(self.taken_at / 1000, UTC).isoformat(sep=" ", timespec="seconds")


def read_mark(connection: Connection) -> Mark | None:
    """Return the mark, None if nothing was taken over."""
    if connection.execute(_presence).one()[0] is None:
        return None
    row = connection.execute(select(*(marks.c[name] for name in Mark.__slots__))).first()
    return None if row is None else Mark(*row)


def write_mark(connection: Connection, now: int) -> None:
    """Record that the takeover is done, with the present numbers of both sides."""
    marks.create(connection, checkfirst=True)
    connection.execute(delete(marks))
    newest = connection.scalar(_newest, {"now": now})
    objects, stamps, permissions = connection.execute(_totals).one()
    number, clock_stamps = _own_totals(connection)
    row = {"newest": newest, "later": connection.scalar(_later, {"newest": newest}), "objects": objects}
    row |= {"permissions": permissions, "stamps": stamps, "clocks": number, "clock_stamps": clock_stamps}
    connection.execute(insert(marks), {"taken_at": now, **row})


def is_written_since(connection: Connection, mark: Mark) -> bool:
    """Return whether a list of this service was written, created or removed since the takeover."""
    return _own_totals(connection) != (mark.clocks, mark.clock_stamps)


def _own_totals(connection: Connection) -> tuple[int, int]:
    number, stamps = connection.execute(select(func.count(), func.coalesce(func.sum(clocks.c.last_modified), 0))).one()
    return number, stamps


def expect_kinto_unchanged(connection: Connection, mark: Mark, *, fully: bool) -> None:
    """Raise SchemaError if Kinto wrote after the takeover; *fully* also compares all numbers.

    Kinto's tables may have been removed since.
    """
    if None in connection.execute(_is_kinto).one() or connection.execute(_presence).one()[1] is None:
        return
    changed = connection.scalar(_later, {"newest": mark.newest}) != mark.later
    if fully and not changed:
        changed = tuple(connection.execute(_totals).one()) != (mark.objects, mark.stamps, mark.permissions)
    if changed:
        examples = ", ".join(connection.scalars(_examples, {"newest": mark.newest}))
        raise SchemaError(
            f"Kinto wrote to its tables after they were taken over at {mark.when} UTC; the newest: {examples}. {_HELP}"
        )


def expect_taken_over(connection: Connection) -> None:
    """Raise SchemaError if Kinto's tables have data that ours lack: one statement where there are none of Kinto."""
    mark_table, objects, versions = connection.execute(_presence).one()
    if objects is None:
        return
    mark = None if mark_table is None else read_mark(connection)
    if mark is not None:
        expect_kinto_unchanged(connection, mark, fully=False)
    elif None not in connection.execute(_is_kinto).one() and (versions is None or is_empty(connection)):
        raise SchemaError(NOT_TAKEN_OVER)


def is_empty(connection: Connection) -> bool:
    """Return whether our tables have no document."""
    return connection.execute(select(documents.c.uri).limit(1)).first() is None
