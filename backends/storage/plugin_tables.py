"""The tables of a plugin beside those of the storage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Executable, Select, Table, bindparam, select

STEPS: Final = "[0-9]*.py"
"""The pattern of the files of a folder `versions`."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class PluginTables:
    """The tables of one plugin, and the folder of the Alembic steps that create and upgrade them.

    `name` stands in messages and in the name of the table with the installed version. A file of the folder `versions`
    is named by its revision, a number: `0001_tables.py`. All rows of `tables` are deleted by a flush.

    With `of_objects` a row belongs to the object that its columns `bucket` and `uri` name: the transaction that deletes
    the object, or one above it, deletes the row, before the rules of plugins are called.

    The statements `purge` delete rows that nobody needs any more; `kinto purge-deleted` executes each in a transaction
    of its own.
    """

    name: str
    versions: Path
    tables: tuple[Table, ...]
    of_objects: bool = False
    purge: tuple[Executable, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for tables that cannot be created, or whose rows belong to no object."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"The name {self.name!r} of tables has other characters than a-z, 0-9 and _.")
        if not any(self.versions.glob(STEPS)):
            raise ValueError(f"The folder {self.versions} of the tables {self.name!r} has no file like 0001_tables.py.")
        for table in self.tables:
            missing = {"bucket", "uri"}.difference(table.columns.keys()) if self.of_objects else ()
            if missing:
                raise ValueError(f"The table {table.name!r} with rows of objects has no column {sorted(missing)}.")

    def probes(self) -> Iterator[Select[Any]]:
        """Yield queries of no row, which fail where a table or one of its columns is missing.

        They take the parameter `of_bucket`, any text.
        """
        for table in self.tables:
            statement = select(*table.columns).limit(0)
            yield statement.where(table.c.bucket == bindparam("of_bucket")) if "bucket" in table.c else statement
