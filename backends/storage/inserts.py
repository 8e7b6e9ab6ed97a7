"""Send an INSERT of many rows as one statement on the wire.

A driver sends `executemany` row by row. Here the group of values in the SQL that SQLAlchemy compiled is repeated for
each row, so that the database gets one statement whatever the number of rows. A cluster routes the rows of a `VALUES`
list to the machines that keep them, unlike the rows of a `SELECT FROM unnest(...)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from backends.storage.compiled import RowsSql, Sql, compile_sql
from backends.storage.sessions import Row, Session

_MAX_VALUES: Final = 30_000
"""The greatest number of values in one statement: SQLite binds 32,766 at most."""

_MAX_PREPARED_ROWS: Final = 2
"""The greatest number of rows of a statement that is prepared."""

_VALUES: Final = re.compile(r"VALUES (\((?:[^()]|\([^()]*\))*\))")

Rows = Sequence[Sequence[Any]]


class Inserts:
    """One INSERT statement in one database dialect; a row has the values of *columns*, both in the table's order."""

    def __init__(self, statement: Any, columns: Sequence[str]) -> None:
        self._statement = statement
        self._columns = tuple(columns)
        self._max_rows = _MAX_VALUES // len(self._columns)
        self._sql = lru_cache(maxsize=64)(self._compile)

    def later(self, session: Session, rows: Rows) -> None:
        """Insert the rows with the next statement of the session that returns rows; without rows nothing is sent."""
        for sql, values in self._statements(session, rows):
            session.later(sql, values)

    def rows(self, session: Session, rows: Rows) -> list[Row]:
        """Insert the rows at once, and return those of a RETURNING clause."""
        return [row for sql, values in self._statements(session, rows) for row in session.rows(sql, values)]

    def _statements(self, session: Session, rows: Rows) -> Iterator[tuple[Sql, Sequence[Any]]]:
        for start in range(0, len(rows), self._max_rows):
            batch = rows[start : start + self._max_rows]
            yield self._sql(session.dialect, len(batch)), list(chain.from_iterable(batch))

    def _compile(self, dialect: Any, count: int) -> Sql:
        """Return the INSERT of *count* rows, which binds their values one after the other.

        One row is the most frequent number, and two where a change has an entry in a derived list: only these are
        prepared, since a name for each number would fill the memory of the session.
        """
        one = compile_sql(self._statement, dialect, self._columns)
        group = _VALUES.search(one.text)
        assert group is not None, "an INSERT has values"
        assert tuple(one.order) == self._columns, "the values of a row are in the order of the table"
        text = f"{one.text[: group.start(1)]}{', '.join([group[1]] * count)}{one.text[group.end(1) :]}"
        order = [f"{name}_{number}" for number in range(count) for name in one.order]
        types = {f"{name}_{number}": kind for number in range(count) for name, kind in one.types.items()}
        return RowsSql(text, order, {}, types, repeats=count <= _MAX_PREPARED_ROWS)
