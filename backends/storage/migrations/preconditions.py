"""Refuse to create tables in a database that holds other data (operations.md 3.2 and 3.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, Inspector, inspect, text

from backends.storage.migrations import VERSION_TABLE, SchemaError
from backends.storage.tables import metadata

_KINTO_STORAGE: Final = 26
_KINTO_PERMISSION: Final = 2
_KINTO_FIRST_WITHOUT_HISTORY: Final = 20
_KINTO_OBJECTS: Final = {"objects", "records"}
"""Every storage of Kinto has one of these tables: before schema 21 the second."""

_kinto_version = text("SELECT max(lpad(value, 3, '0')) FROM metadata WHERE name = :name")
_kinto_created = text("SELECT count(*) FROM metadata WHERE name = 'created_at'")


def check(connection: Connection, report: Callable[[str], None]) -> None:
    """Raise SchemaError unless the tables can be created; *report* oddities that do no harm."""
    if connection.dialect.name == "postgresql":
        _check_encoding(connection)
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    if connection.dialect.name == "postgresql" and tables & _KINTO_OBJECTS:
        raise SchemaError(_kinto_refusal(connection, inspector, tables))
    foreign = sorted(tables & metadata.tables.keys())
    if foreign:
        raise SchemaError(
            f"The database has tables named {', '.join(foreign)} that are not ours, as there is no {VERSION_TABLE}. "
            "Use another database. Nothing was changed."
        )
    if connection.dialect.name == "postgresql":
        _check_time_zone(connection, report)


def _check_encoding(connection: Connection) -> None:
    encoding = str(connection.scalar(text("SHOW server_encoding"))).lower()
    if encoding != "utf8":
        raise SchemaError(f"Unexpected database encoding {encoding}")


def _check_time_zone(connection: Connection, report: Callable[[str], None]) -> None:
    """Warn as Kinto does. The timestamps here are numbers, which do not depend on a time zone (O-PG-8)."""
    zone = str(connection.scalar(text("SHOW timezone"))).upper()
    if zone != "UTC":
        report(f"Database timezone is not UTC ({zone})")


def _kinto_refusal(connection: Connection, inspector: Inspector, tables: set[str]) -> str:
    """Return why a database with the tables of Kinto is refused (O-PG-14)."""
    if "metadata" not in tables or not {"name", "value"} <= {
        column["name"] for column in inspector.get_columns("metadata")
    }:
        names = " and ".join(sorted(tables & _KINTO_OBJECTS))
        return (
            f"The database has a table {names} but no table metadata with the version of Kinto that made it. "
            "Use another database. Nothing was changed."
        )
    storage = _storage_version(connection)
    if storage < _KINTO_STORAGE:
        return f'This is a Kinto database of schema {storage}. Run "kinto migrate" of Kinto 26.5 first.'
    permission = _permission_version(connection, tables)
    if storage == _KINTO_STORAGE and permission < _KINTO_PERMISSION:
        return (
            f"This is a Kinto database of schema {storage} with permission schema {permission}. "
            'Run "kinto migrate" of Kinto 26.5 first.'
        )
    if storage > _KINTO_STORAGE or permission > _KINTO_PERMISSION:
        return (
            f"This is a Kinto database of schema {storage} with permission schema {permission}, newer than the "
            f"versions {_KINTO_STORAGE} and {_KINTO_PERMISSION} of Kinto 26.5. Nothing was changed."
        )
    return (
        f"This is a Kinto database of schema {storage} with permission schema {permission}. "
        "Its data cannot be taken over by this version: use another database. Nothing was changed."
    )


def _storage_version(connection: Connection) -> int:
    """Return the version as Kinto determines it: the highest row, else 1 if `created_at` is recorded, else 20."""
    highest = connection.scalar(_kinto_version, {"name": "storage_schema_version"})
    if highest is not None:
        return _as_number(highest)
    return 1 if connection.scalar(_kinto_created) else _KINTO_FIRST_WITHOUT_HISTORY


def _permission_version(connection: Connection, tables: set[str]) -> int:
    """Return the version as Kinto determines it: the highest row, else 1 if there is a table of principals, else 0."""
    highest = connection.scalar(_kinto_version, {"name": "permission_schema_version"})
    if highest is not None:
        return _as_number(highest)
    return int("user_principals" in tables)


def _as_number(version: str) -> int:
    try:
        return int(version)
    except ValueError as error:
        raise SchemaError(f"The table metadata has a schema version that is no number: {version}") from error
