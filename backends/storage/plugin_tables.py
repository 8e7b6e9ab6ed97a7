"""The tables of a plugin beside those of the storage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Executable, Table


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
