"""Find out whether a database holds Kinto's tables, and of which version (operations.md 3.2, O-PG-14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Inspector, inspect, text

from backends.storage.migrations import SchemaError

_STORAGE: Final = 26
_PERMISSION: Final = 2
_FIRST_WITHOUT_HISTORY: Final = 20
_OBJECTS: Final = {"objects", "records"}
"""Every storage of Kinto has one of these tables: before schema 21 the second."""

NOT_TAKEN_OVER: Final = 'The database has the data of Kinto, which this service has not. Run "kinto migrate" first.'

_PERMISSIONS: Final = "user_principals, access_control_entries, and permission_schema_version in metadata"

_version = text("SELECT max(lpad(value, 3, '0')) FROM metadata WHERE name = :name")
_created = text("SELECT count(*) FROM metadata WHERE name = 'created_at'")


@dataclass(frozen=True, slots=True)
class KintoDatabase:
    """The schema versions of Kinto's tables in a database."""

    storage: int
    permission: int

    @property
    def refusal(self) -> str:
        """Return why these tables cannot be taken over, "" if they can."""
        this = f"This is a Kinto database of schema {self.storage}"
        if self.storage < _STORAGE:
            return f'{this}. Run "kinto migrate" of Kinto 26.5 first.'
        if not self.permission:
            return f"{this}, and its permissions are in another database. Copy these tables here first: {_PERMISSIONS}."
        this = f"{this} with permission schema {self.permission}"
        if self.storage == _STORAGE and self.permission < _PERMISSION:
            return f'{this}. Run "kinto migrate" of Kinto 26.5 first.'
        if (self.storage, self.permission) != (_STORAGE, _PERMISSION):
            return f"{this}, newer than the versions {_STORAGE} and {_PERMISSION} of Kinto 26.5. Nothing was changed."
        return ""


def find_kinto(connection: Connection) -> KintoDatabase | None:
    """Return the versions of Kinto's tables, None if there are none.

    Raises SchemaError for a table of that name whose maker is unknown.
    """
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    if connection.dialect.name != "postgresql" or not tables & _OBJECTS:
        return None
    if not _has_metadata(inspector, tables):
        names = " and ".join(sorted(tables & _OBJECTS))
        raise SchemaError(
            f"The database has a table {names} but no table metadata with the version of Kinto that made it. "
            "Use another database. Nothing was changed."
        )
    return KintoDatabase(_storage_version(connection), _permission_version(connection, tables))


def _has_metadata(inspector: Inspector, tables: set[str]) -> bool:
    names = {column["name"] for column in inspector.get_columns("metadata")} if "metadata" in tables else set()
    return names >= {"name", "value"}


def _storage_version(connection: Connection) -> int:
    """Return the version as Kinto determines it: the highest row, else 1 if `created_at` is recorded, else 20."""
    highest = connection.scalar(_version, {"name": "storage_schema_version"})
    if highest is not None:
        return _as_number(highest)
    return 1 if connection.scalar(_created) else _FIRST_WITHOUT_HISTORY


def _permission_version(connection: Connection, tables: set[str]) -> int:
    """Return the version as Kinto determines it: the highest row, else 1 if there is a table of principals, else 0."""
    highest = connection.scalar(_version, {"name": "permission_schema_version"})
    if highest is not None:
        return _as_number(highest)
    return int("user_principals" in tables)


def _as_number(version: str) -> int:
    try:
        return int(version)
    except ValueError as error:
        raise SchemaError(f"The table metadata has a schema version that is no number: {version}") from error
