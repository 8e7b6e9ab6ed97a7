"""A service on a database of its own, `kinto check` on it, and SQL by somebody who has the database at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from sqlalchemy import Engine, select, text

from app.service import Service
from backends.storage.tables import clocks
from scripts.check import scope_of
from scripts.command import main
from tests.support.client import Client
from tests.support.databases import make_app
from tests.support.unchecked import drop_constraints, own_database

B = "/buckets/b"
G = f"{B}/groups/g"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
INDEXES = [{"fields": ["n"]}, {"unique": ["s", "n"]}, {"text": ["s"]}]


@dataclass
class Place:
    """A service on a database of its own, and the command on the same database."""

    client: Client
    ini: Path

    @property
    def service(self) -> Service:
        """Return the service."""
        service: Service = self.client.app.extensions["kinto"]
        return service

    @property
    def engine(self) -> Engine:
        """Return the engine for writes."""
        storage: Any = self.service.storage
        engine: Engine = storage.writing
        return engine

    def check(self, *options: str) -> tuple[int, list[str]]:
        """Run the command; return its exit code and the lines that it prints."""
        with CliRunner().isolation() as (out, _, _):
            code = main(("check", "--ini", str(self.ini), *options))
            return code, out.getvalue().decode().splitlines()

    def examine(self, *, repair: bool = False) -> list[str]:
        """Do what the command does, on what this service has compiled; return what is reported."""
        reported: list[str] = []
        self.service.storage.check(scope_of(self.service), reported.append, lambda rows: None, repair=repair)
        return reported

    def change(self, *statements: str) -> None:
        """Run SQL as somebody who has the database at hand."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement.replace(":", "\\:")))

    def rows(self, table: Any) -> list[dict[str, Any]]:
        """Return all rows of a table."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(select(table)).mappings()]

    def clock(self, name: str) -> dict[str, Any]:
        """Return the clock of a list."""
        return next(row for row in self.rows(clocks) if row["list"] == name)

    def stock(self) -> None:
        """Empty the service; make records, one of them deleted, and a group, with what is granted on them."""
        self.service.flush()
        self.client.batch(
            {"method": "PUT", "path": B, "body": {"permissions": {"read": ["account:x"]}}},
            {"method": "PUT", "path": G, "body": {"data": {"members": ["account:x"]}}},
            {"method": "PUT", "path": C, "body": {"data": {"indexes": INDEXES}}},
            {"method": "PUT", "path": f"{B}/collections/none"},
            {"method": "PUT", "path": f"{B}/collections/gone"},
            {"method": "PUT", "path": f"{B}/collections/gone/records/r"},
            *(
                {"method": "PUT", "path": f"{RECORDS}/r{n}", "body": {"data": {"n": n, "big": 2**70, "s": "é\u2028"}}}
                for n in range(6)
            ),
            {"method": "PATCH", "path": f"{RECORDS}/r1", "body": {"permissions": {"read": [G]}}},
        )
        self.client.delete(f"{RECORDS}/r0")
        self.client.delete(f"{B}/collections/gone")


@contextmanager
def open_place(database: str, folder: Path, settings: Mapping[str, Any], ini: str = "") -> Iterator[Place]:
    """Open a service on a new database of a kind whose tables have no constraints; *ini* are more lines of its file."""
    with own_database(database, folder) as url:
        file = folder / "kinto.ini"
        file.write_text(f"[app:main]\nkinto.storage_url = {url.replace('%', '%%')}\n{ini}")
        app = make_app(url, settings)
        drop_constraints(url)
        app.extensions["kinto"].close()
        yield Place(Client(app), file)
        app.extensions["kinto"].close()
