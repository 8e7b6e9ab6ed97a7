"""Copy all rows of one storage to another (`kinto copy`).

Theory of operation:

- All is read from one snapshot of the source, so that the copy is a state that the source had: writers go on, and what
  they write meanwhile is not in the copy. `Copy.run` reports whether there was any.
- The target is empty, or has the mark (`mark`) of a copy that did not end. The mark is committed before the first row
  and removed after the last check, and no server starts on a database that has it.
- The rows of a table are compared with those of the target, both in the order of their keys: rows that are missing are
  inserted, others deleted, in transactions of at most 2,000 rows. So a copy can be killed at any moment. Another run
  has another snapshot; it brings over what it finds to be different, which is all where the target was empty.
- At the end both sides are read once more, and the digests of all lists are compared.

    source  /buckets/a  /buckets/a/collections/c   /buckets/a/collections/d    .
    target  /buckets/a  .                          /buckets/a/collections/d'   /buckets/a/collections/e
            the same    insert                     delete, insert              delete
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Table, insert, inspect
from sqlalchemy.schema import CreateTable, DropTable

from backends import BackendError
from backends.storage.migrations import CORE, VERSION_TABLE, installed_version, schema_label, schema_of
from backends.storage.plugin_tables import PluginTables
from backends.storage.sql import SqlStorage
from backends.storage.tables import clocks, documents, grants, indexes, members
from backends.storage.transfer.digests import Digester, differences
from backends.storage.transfer.importing import expect_empty
from backends.storage.transfer.mark import is_marked, unfinished
from backends.storage.transfer.rows import Row, TableRows, batches, report_progress

_TABLES: Final = (documents, grants, members, indexes, clocks)

_Pair = tuple[Row | None, Row | None]

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy did.

    `rows` has the number of rows of each table, `different_lists` the lists that differ on both sides, each after the
    name of its table: the copy is not complete then. `written_lists` are those of the source that were written to
    meanwhile.
    """

    rows: dict[str, int]
    different_lists: list[str]
    written_lists: list[str]


class Copy:
    """A copy from one storage to another, the tables of *plugins* included, which both must have."""

    def __init__(self, source: SqlStorage, target: SqlStorage, plugins: Sequence[PluginTables]) -> None:
        self._source = source
        self._target = target
        self._plugins = plugins
        self._tables = (*_TABLES, *(table for plugin in plugins for table in plugin.tables))

    def expect_source(self) -> None:
        """Raise BackendError unless the source has the tables of this version, and none of other plugins."""
        with self._source.snapshot() as connection:
            if is_marked(connection):
                raise BackendError("The source is the target of an unfinished copy.")
            schemas = (CORE, *map(schema_of, self._plugins))
            for schema in schemas:
                if installed_version(connection, schema) != schema.version:
                    label = schema_label(connection.dialect.name, schema.names[0])
                    raise BackendError(f"The {label} of the source is not of this version: run `kinto migrate` on it.")
            own_tables = {schema.version_table for schema in schemas}
            names = inspect(connection).get_table_names()
            other = sorted(name for name in names if name.startswith(VERSION_TABLE) and name not in own_tables)
            if other:
                plugins = ", ".join(name.removeprefix(f"{VERSION_TABLE}_") for name in other)
                raise BackendError(f"The source has tables of plugins that `includes` does not name: {plugins}.")

    def count(self) -> int:
        """Return the number of rows of the source."""
        with self._source.snapshot() as connection:
            return sum(TableRows(table, self._source.dialect).count(connection) for table in self._tables)

    def run(self, note: Progress) -> CopyResult:
        """Copy to the claimed target, then compare; call *note* with numbers of rows that were copied or compared.

        Raises BackendError. After an error, or when the process ends, another run continues.
        """
        with self._source.snapshot() as connection:
            rows = {table.name: self._bring(table, connection, note) for table in self._tables}
            different_lists = [
                f"{table.name} {name}" for table in self._tables for name in self._differences(table, connection, note)
            ]
            if not different_lists:
                self._release()
            return CopyResult(rows, different_lists, self._lists_written_since(connection))

    def claim(self) -> None:
        """Mark the target, unless an earlier run did. Raises NotEmpty."""
        with self._target.transaction() as writer:
            connection = writer.connection
            if is_marked(connection):
                return
            expect_empty(connection, self._target.dialect, self._tables)
            connection.execute(CreateTable(unfinished))
            connection.execute(insert(unfinished), {"began": time.time_ns() // 1_000_000})

    def _release(self) -> None:
        """Remove the mark."""
        with self._target.transaction() as writer:
            self._target.dialect.update_statistics(writer.connection, self._tables)
            writer.connection.execute(DropTable(unfinished))

    def _bring(self, table: Table, connection: Connection, note: Progress) -> int:
        """Make the rows of the target's table those of the source; return their number."""
        source, target = (TableRows(table, storage.dialect) for storage in (self._source, self._target))
        total = 0

        def add(number: int) -> None:
            nonlocal total
            total += number
            note(number)

        rows = report_progress(source.read(connection), add)
        normalize = Digester(source).normalize
        pairs = _pairs(rows, self._rows_of_target(target), source.key)
        for batch in batches((pair for pair in pairs if not _is_same(*pair, normalize)), lambda pair: pair[1] or ()):
            with self._target.transaction() as writer:
                target.delete(writer.connection, [target.key(old) for old, _ in batch if old is not None])
                target.insert(writer.connection, [new for _, new in batch if new is not None])
        return total

    def _rows_of_target(self, rows: TableRows) -> Iterator[Row]:
        """Yield the rows of the target as they were at first; the snapshot ends with the last one."""
        with self._target.snapshot() as present:
            yield from rows.read(present)

    def _differences(self, table: Table, connection: Connection, note: Progress) -> list[str]:
        """Return the lists of a table that differ on both sides."""
        source, target = (TableRows(table, storage.dialect) for storage in (self._source, self._target))
        with self._target.snapshot() as present:
            digests = Digester(source).by_bucket(report_progress(source.read(connection), note))
            return list(differences(digests, Digester(target).by_bucket(target.read(present))))

    def _lists_written_since(self, connection: Connection) -> list[str]:
        """Return the lists whose clocks have moved since the snapshot of a connection."""
        rows = TableRows(clocks, self._source.dialect)
        with self._source.snapshot() as present:
            before, now = (Digester(rows).by_bucket(rows.read(each)) for each in (connection, present))
            return list(differences(before, now))


def _pairs(source: Iterator[Row], target: Iterator[Row], key: Callable[[Row], Row]) -> Iterator[_Pair]:
    """Yield the rows of target and source in pairs of one key; None stands for a row that one of them lacks."""
    old = next(target, None)
    for new in source:
        while old is not None and key(old) < key(new):
            yield old, None
            old = next(target, None)
        if old is not None and key(old) == key(new):
            yield old, new
            old = next(target, None)
        else:
            yield None, new
    while old is not None:
        yield old, None
        old = next(target, None)


def _is_same(old: Row | None, new: Row | None, normalize: Callable[[Row], Row]) -> bool:
    return old is not None and new is not None and (old == new or normalize(old) == normalize(new))
