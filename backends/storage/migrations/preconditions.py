"""Refuse to create tables in a database that holds other data (operations.md 3.2 and 3.5)."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, inspect, text

from backends.storage.migrations import VERSION_TABLE, SchemaError
from backends.storage.tables import metadata
from backends.storage.takeover.detection import NOT_TAKEN_OVER, find_kinto


def check(connection: Connection, report: Callable[[str], None]) -> None:
    """Raise SchemaError unless the tables can be created; *report* oddities that do no harm."""
    kinto = find_kinto(connection)
    if kinto is not None:
        raise SchemaError(kinto.refusal or NOT_TAKEN_OVER)
    check_beside_kinto(connection, report)


def check_beside_kinto(connection: Connection, report: Callable[[str], None]) -> None:
    """Do as `check` in a database that may have Kinto's tables."""
    if connection.dialect.name == "postgresql":
        _check_encoding(connection)
    foreign = sorted(set(inspect(connection).get_table_names()) & metadata.tables.keys())
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
