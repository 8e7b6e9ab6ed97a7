"""The mark of a database that a copy has begun to fill: a table that is there until the copy is complete.

A server that starts looks for it (`backends.storage.sql.SqlStorage.expect_complete`), and so does the next copy, which
continues. An own table, as the mark has to be seen whatever the version of the other tables is.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, inspect

unfinished: Final = Table("kinto_unfinished_copy", MetaData(), Column("began", BigInteger, nullable=False))
"""The table; `began` is the time in ms."""

REFUSAL: Final = (
    "The database is the target of an unfinished copy: run the same `kinto copy` again, which continues, "
    "or drop all its tables."
)


def is_marked(connection: Connection) -> bool:
    """Return whether a copy has begun to fill this database, and is not complete."""
    return inspect(connection).has_table(unfinished.name)
