"""Databases that were made before their tables had constraints: they may hold any timestamp."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import create_engine, inspect, text

from tests.support.services import postgresql_database

_CONSTRAINT = re.compile(r",\s*CONSTRAINT \w+_range CHECK \(.*\)")


@contextmanager
def own_database(name: str, folder: Path) -> Iterator[str]:
    """Give the URL of a new database of a kind, without tables."""
    if name == "sqlite":
        yield f"sqlite:///{folder}/kinto.sqlite"
        return
    with postgresql_database() as url:
        yield url


def drop_constraints(url: str) -> None:
    """Remove the constraints of all tables; SQLite has no statement for that."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            file.execute("PRAGMA writable_schema = ON")
            for name, sql in file.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall():
                file.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (_CONSTRAINT.sub("", sql), name))
            file.execute("PRAGMA writable_schema = RESET")
        return
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.begin() as connection:
        for table in inspect(connection).get_table_names():
            for constraint in inspect(connection).get_check_constraints(table):
                connection.execute(text(f'ALTER TABLE "{table}" DROP CONSTRAINT "{constraint["name"]}"'))
    engine.dispose()
