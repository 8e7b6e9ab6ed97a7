"""One run of all checks, and the repair of single rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Integer, bindparam, delete, or_, select, tuple_, update
from sqlalchemy.sql.elements import ColumnElement

from backends.codec import dumps, loads
from backends.storage.checks.check import Row, RowChecks, remove
from backends.storage.dialect import Dialect
from backends.storage.errors import Conflict, Unlocked
from backends.storage.maintenance import Maintenance
from backends.storage.sessions import Session
from backends.storage.tables import ENTRIES, documents
from backends.storage.writes import Writer

PAGE: Final = 1_000
"""The number of rows that one statement reads."""

_MAX_CONFIRMED: Final = 50
"""The greatest number of rows that are confirmed, and repaired, in one transaction."""

_TRIES: Final = 4
_FIRST_NUMBER: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of a URI or a list that was confirmed, and how it was repaired: "" if it was not."""

    subject: str
    fault: str
    repair: str = ""


class CheckRun(Maintenance):
    """A run of checks.

    *report* gets a line for each fault, repair and row that is deleted, *advance* the numbers of rows that were read.
    """

    def __init__(
        self,
        read_session: Callable[[], AbstractContextManager[Session]],
        transaction: Callable[[], AbstractContextManager[Writer]],
        report: Callable[[str], None],
        advance: Callable[[int], None],
        *,
        repair: bool,
    ) -> None:
        super().__init__(read_session, transaction)
        self.report = report
        self.advance = advance
        self.repair = repair
        self.findings = 0

    def read(self, statement: Any, values: Mapping[str, Any]) -> Sequence[Any]:
        """Return the rows of a statement, without any lock."""
        with self._read_session() as session:
            return session.connection.execute(statement, values).all()

    def confirm(self, lists: Iterable[str], examine: Callable[[Writer], Sequence[Finding]]) -> None:
        """Report what *examine* returns: it is called in a transaction that has locked *lists*, again after a deadlock.

        Raises BackendError.
        """
        names = {above for name in lists for above in lineage(name)}
        for tries_left in reversed(range(_TRIES)):
            try:
                with self._transaction() as writer:
                    writer.lock(names)
                    findings = examine(writer)
                break
            except (Conflict, Unlocked):
                if not tries_left:
                    raise
        for finding in findings:
            self.findings += 1
            self.report(f"{finding.subject}: {finding.fault}.")
            if finding.repair:
                self.report(f"{finding.subject}: repaired: {finding.repair}.")


def lineage(path: str) -> Iterator[str]:
    """Yield the names of the lists that an object, or a list, is in, from the top down, with the list itself."""
    segments = path.split("/")
    yield from ("/".join(segments[:end]) for end in range(2, len(segments) + 1, 2))


class RowStatements:
    """The statements that examine the rows of one table; building them takes longer than a small table does."""

    def __init__(self, checks: RowChecks) -> None:
        self.checks = checks
        self.keys = [checks.table.c[name] for name in checks.keys]
        self.columns = [column for column in checks.table.c if column.name not in ("data", *ENTRIES)]
        place = tuple_(*self.keys)
        after, last = (
            tuple_(*(bindparam(f"{end}_{key.name}", type_=key.type) for key in self.keys)) for end in ("after", "last")
        )
        self.page = select(*self.keys).where(place > after).order_by(*self.keys).limit(PAGE)
        flags = (check.wrong.label(f"wrong_{number}") for number, check in enumerate(checks.checks))
        self.candidates = select(*self.keys, checks.table.c[checks.subject].label("subject"), *flags).where(
            place > after, place <= last, or_(*(check.wrong for check in checks.checks))
        )


class RowExamination:
    """The examination of the rows of one table, with the values of a scope."""

    def __init__(self, run: CheckRun, dialect: Dialect, statements: RowStatements, values: Mapping[str, Any]) -> None:
        self._run = run
        self._dialect = dialect
        self._statements = statements
        self._checks = statements.checks
        self._keys = statements.keys
        self._values = values

    def run(self) -> None:
        """Examine all rows."""
        after: Sequence[Any] = [_FIRST_NUMBER if isinstance(key.type, Integer) else "" for key in self._keys]
        size = PAGE
        while size == PAGE:
            page = self._run.read(self._statements.page, self._bind("after", after))
            size = len(page)
            if page:
                values = {**self._values, **self._bind("after", after), **self._bind("last", page[-1])}
                self._confirm(self._run.read(self._statements.candidates, values))
                self._run.advance(size)
                after = page[-1]

    def _bind(self, end: str, key: Sequence[Any]) -> Mapping[str, Any]:
        return {f"{end}_{column.name}": value for column, value in zip(self._keys, key, strict=True)}

    def _confirm(self, candidates: Sequence[Any]) -> None:
        for start in range(0, len(candidates), _MAX_CONFIRMED):
            batch = candidates[start : start + _MAX_CONFIRMED]
            self._run.confirm((row.subject for row in batch), partial(self._examine, batch))

    def _examine(self, candidates: Sequence[Any], writer: Writer) -> list[Finding]:
        """Return the faults that candidates have under the locks of their lists, each after its repair."""
        connection = writer.connection
        mender = RowMender(connection, self._dialect, self._checks, self._values, self._run.report)
        return [finding for candidate in candidates for finding in self._examine_row(connection, mender, candidate)]

    def _examine_row(self, connection: Connection, mender: RowMender, candidate: Any) -> Iterator[Finding]:
        """Yield the faults of a row, none after one for which the row is removed."""
        place = [column == value for column, value in zip(self._keys, candidate, strict=False)]
        for number, check in enumerate(self._checks.checks):
            if not getattr(candidate, f"wrong_{number}"):
                continue
            again = select(*self._statements.columns).where(*place, check.wrong)
            row = connection.execute(again, self._values).mappings().first()
            if row is None:
                continue
            columns = dict(row)
            repair = check.repair(mender, columns) if self._run.repair else ""
            yield Finding(columns[self._checks.subject], check.words.format_map(columns), repair)
            if check.repair is remove:
                return


class RowMender:
    """See `backends.storage.checks.check.Mender`."""

    def __init__(
        self,
        connection: Connection,
        dialect: Dialect,
        checks: RowChecks,
        values: Mapping[str, Any],
        report: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._dialect = dialect
        self._checks = checks
        self._report = report
        self.values = values

    def execute(self, statement: Any, values: Mapping[str, Any] | None = None) -> Any:
        """Execute a statement."""
        return self._connection.execute(statement, values)

    def write_out(self, row: Row) -> None:
        """Write the row out, the document as it is stored."""
        columns: dict[str, Any] = {"table": self._checks.table.description, **row}
        if self._checks.table is documents:
            text = self._connection.execute(select(self._dialect.text(documents.c.data)).where(*self._place(row)))
            columns["data"] = loads(text.scalar_one())
        columns = {name: value for name, value in columns.items() if name not in ENTRIES}
        self._report(dumps(columns))

    def remove(self, row: Row) -> str:
        """Write the row out, and delete it."""
        self.write_out(row)
        self._connection.execute(delete(self._checks.table).where(*self._place(row)))  # type: ignore[arg-type]  # a table
        return "removed"

    def change(self, row: Row, **columns: Any) -> str:
        """Change columns of the row."""
        statement = update(self._checks.table).where(*self._place(row)).values(columns)  # type: ignore[arg-type]  # a table
        self._connection.execute(statement)
        return f"{' and '.join(columns)} set"

    def _place(self, row: Row) -> list[ColumnElement[bool]]:
        return [self._checks.table.c[name] == row[name] for name in self._checks.keys]
