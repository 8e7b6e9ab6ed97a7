"""Simulate a month of ordinary use with compressed time, and a purge each night; print what the tables hold.

    python -m tests.bench.month                                 30 days on PostgreSQL, then `kinto check`
    python -m tests.bench.month --database sqlite --days 10
    python -m tests.bench.month --records 1000 --keep-days 14   more records a day; the purge leaves two weeks

Each day records are created, changed, shared, withdrawn and deleted, members join and leave, a bucket and a collection
begin and end, users sign up, log in and leave; a history and quotas take part. Every day is like any other, so that
rows that still grow after the first nights are never removed. All requests are those of an application in this process,
whose clock is that of the simulation; rows of the cache, which expire by the clock of the database, are made older.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

import psycopg2
from flask import Flask
from sqlalchemy import Connection, Engine, inspect, text

from app.entries import list_patterns
from app.factory import create_app
from app.service import Service
from scripts.check import scope_of
from scripts.migrate import migrate_all
from tests.support.client import Client, basic
from tests.support.databases import BASICAUTH
from tests.support.services import postgresql_database

TRIMMING: Final = "kinto.history.auto_trim_max_count"
DAY_MS: Final = 24 * 3_600_000
_BATCH: Final = 25
_USERS: Final = 10
_TEAM: Final = "/buckets/team"
_NOTES: Final = f"{_TEAM}/collections/notes"
_READERS: Final = f"{_TEAM}/groups/readers"
_SETTINGS: Final[Mapping[str, Any]] = {
    **BASICAUTH,
    "kinto.includes": "kinto.plugins.accounts kinto.plugins.history kinto.plugins.quotas",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.account_bcrypt_rounds": 4,
    "kinto.account_login_failures_per_account": 0,
    "kinto.account_login_failures_per_address": 0,
}


@dataclass(frozen=True)
class Size:
    """The size of a table: its rows, and on PostgreSQL its bytes and those of its indexes."""

    rows: int
    table_bytes: int = 0
    index_bytes: int = 0


Sizes = Mapping[str, Size]
"""The sizes of all tables by name."""


@dataclass(frozen=True)
class Night:
    """The sizes of all tables before and after the purge at the end of a day."""

    day: int
    before: Sizes
    after: Sizes


class Month:
    """The use of an application, day by day, from *start_ms* on; *records* are created each day."""

    def __init__(self, app: Flask, records: int, keep_days: float) -> None:
        self._client = Client(app)
        self._service: Service = app.extensions["kinto"]
        storage: Any = self._service.storage
        self._engine: Engine = storage.writing
        self._records = records
        self._keep_ms = round(keep_days * DAY_MS)
        self._now_ms = time.time_ns() // 1_000_000

    def run(self, days: int) -> Iterator[Night]:
        """Yield the sizes at the end of each day."""
        with self._clock():
            self._begin()
            for day in range(days):
                self._pass_day(day)
                before = self._measure()
                self._purge()
                yield Night(day, before, self._measure())

    @contextmanager
    def _clock(self) -> Iterator[None]:
        """Let the clock of the process be that of the simulation."""
        with (
            mock.patch.object(time, "time_ns", lambda: self._now_ms * 1_000_000),  # noqa: PT008  # it advances
            mock.patch.object(time, "monotonic", lambda: self._now_ms / 1_000),  # noqa: PT008  # it advances
        ):
            yield

    def check(self) -> list[str]:
        """Return the faults that `kinto check` reports."""
        lines: list[str] = []
        with self._clock():
            self._service.storage.check(scope_of(self._service), lines.append, lambda rows: None, repair=False)
        return lines

    def _begin(self) -> None:
        indexes = [{"fields": ["n"]}, {"text": ["title"]}]
        self._send(
            _put(_TEAM, read=[_READERS]),
            _put(_READERS),
            _put(_NOTES, {"indexes": indexes}, write=[_READERS]),
            *(
                _put(f"{_NOTES}/records/kept{number}", {"n": number, "title": "kept"})
                for number in range(self._records)
            ),
        )
        for number in range(_USERS):
            self._sign_up(f"user{number}")

    def _pass_day(self, day: int) -> None:
        """Do what happens on a day, a few ms after each other; the day ends 24 hours after it began."""
        end = self._now_ms + DAY_MS
        today, yesterday = ([f"{_NOTES}/records/d{each}-{n}" for n in range(self._records)] for each in (day, day - 1))
        users = [f"account:user{number}" for number in range(_USERS)]
        self._sign_up(f"guest{day}")
        for number in range(_USERS):
            self._log_in(f"user{number}")
        self._send(
            *(_put(uri, {"n": n, "title": f"note {n}"}, read=[users[n % _USERS]]) for n, uri in enumerate(today))
        )
        self._send(*(_patch(uri, {"n": n + 1}) for n, uri in enumerate(today)))
        kept = [f"{_NOTES}/records/kept{n}" for n in range(self._records)]
        self._send(*(_patch(uri, {}, read=[users[(day + n) % _USERS]]) for n, uri in enumerate(kept)))
        self._send(*(_patch(uri, {}, read=[]) for uri in today[::2]))
        members = [user for number, user in enumerate(users) if number != day % _USERS]
        self._send(_put(_READERS, {"members": [*members, f"account:guest{day}"]}))
        self._send(
            *self._new_bucket(f"/buckets/trip{day}", users), *self._new_collection(f"{_TEAM}/collections/t{day}")
        )
        if day:
            gone = (f"/buckets/trip{day - 1}", f"{_TEAM}/collections/t{day - 1}", f"/accounts/guest{day - 1}")
            self._send(*(_delete(uri) for uri in yesterday))
            self._send(*(_delete(uri) for uri in gone[:2]))
            self._answer(self._client.as_(None).ask("DELETE", gone[2], headers=_credentials(f"guest{day - 1}")))
        self._now_ms = end
        if self._has_cache_table():
            self._execute("UPDATE cache SET ttl = ttl - interval '1 day'")

    def _new_bucket(self, uri: str, users: Sequence[str]) -> Iterator[dict[str, Any]]:
        yield _put(uri, read=[*users, f"{uri}/groups/g"])
        yield _put(f"{uri}/groups/g", {"members": [*users]})
        yield from self._new_collection(f"{uri}/collections/c")

    def _new_collection(self, uri: str) -> Iterator[dict[str, Any]]:
        yield _put(uri, {"indexes": [{"fields": ["n"]}]}, read=["system.Authenticated"])
        yield from (_put(f"{uri}/records/r{n}", {"n": n}, read=["account:user0"]) for n in range(self._records // 10))

    def _sign_up(self, name: str) -> None:
        self._answer(self._client.as_(None).ask("PUT", f"/accounts/{name}", {"data": {"password": "pw"}}))

    def _log_in(self, name: str) -> None:
        self._answer(self._client.as_(None).ask("GET", f"/accounts/{name}", headers=_credentials(name)))

    def _send(self, *requests: dict[str, Any]) -> None:
        for start in range(0, len(requests), _BATCH):
            self._now_ms += 1_000
            answer = self._client.batch(*requests[start : start + _BATCH])
            self._answer(answer)
            refused = [each for each in answer.json["responses"] if each["status"] not in (200, 201)]
            if refused:
                raise RuntimeError(f"Refused: {refused[0]}")

    @staticmethod
    def _answer(answer: Any) -> None:
        if answer.status not in (200, 201):
            raise RuntimeError(f"{answer.status}: {answer.body!r}")

    def _purge(self) -> None:
        patterns = list_patterns(self._service.kinds, self._service.kinds)
        self._service.storage.purge(patterns, None, self._now_ms - self._keep_ms, self._service.tables)
        if self._engine.dialect.name == "postgresql":
            self._execute("VACUUM")

    def _execute(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(text(statement))

    def _has_cache_table(self) -> bool:
        return "cache" in self._tables()

    def _tables(self) -> list[str]:
        hidden = "kinto_flask_", "terms" if self._engine.dialect.name == "postgresql" else "kinto_flask_"
        return [name for name in sorted(inspect(self._engine).get_table_names()) if not name.startswith(hidden)]

    def _measure(self) -> Sizes:
        with self._engine.connect() as connection:
            return {name: self._size_of(connection, name) for name in self._tables()}

    def _size_of(self, connection: Connection, name: str) -> Size:
        rows = connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
        if self._engine.dialect.name != "postgresql":
            return Size(rows)
        sizes = text("SELECT pg_table_size(CAST(:name AS regclass)), pg_indexes_size(CAST(:name AS regclass))")
        return Size(rows, *connection.execute(sizes, {"name": name}).one())


def _credentials(name: str) -> dict[str, str]:
    return {"Authorization": basic(name, "pw")}


def _put(uri: str, data: Any = None, **permissions: Sequence[str]) -> dict[str, Any]:
    return {"method": "PUT", "path": uri, "body": {"data": data or {}, "permissions": permissions}}


def _patch(uri: str, data: Any, **permissions: Sequence[str]) -> dict[str, Any]:
    return {**_put(uri, data, **permissions), "method": "PATCH"}


def _delete(uri: str) -> dict[str, Any]:
    return {"method": "DELETE", "path": uri}


@contextmanager
def open_month(database: str, records: int, keep_days: float, settings: Mapping[str, Any]) -> Iterator[Month]:
    """Open a month on a new database, with more *settings*; on PostgreSQL the cache is a table of it."""
    with tempfile.TemporaryDirectory() as folder, postgresql_database() as postgresql:
        is_sqlite = database == "sqlite"
        url = f"sqlite:///{folder}/kinto.sqlite" if is_sqlite else postgresql
        cache = {} if is_sqlite else {"kinto.cache_backend": "kinto.core.cache.postgresql", "kinto.cache_url": url}
        app = create_app({**_SETTINGS, "kinto.storage_url": url, **cache, **settings})
        service: Service = app.extensions["kinto"]
        migrate_all(service)
        try:
            yield Month(app, records, keep_days)
        finally:
            service.close()


@contextmanager
def hold_transaction() -> Iterator[None]:
    """Keep a transaction open in another database of the PostgreSQL server."""
    with postgresql_database() as url, closing(psycopg2.connect(url)) as connection:
        connection.cursor().execute("SELECT pg_current_xact_id()")
        yield


def describe(sizes: Sizes) -> str:
    """Return a line with the size of each table: rows, kB, and kB of indexes."""
    return ", ".join(
        f"{name} {size.rows:,}"
        + (f" ({size.table_bytes // 1024:,} + {size.index_bytes // 1024:,} kB)" if size.table_bytes else "")
        for name, size in sizes.items()
    )


def main(words: Sequence[str] | None = None) -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--records", type=int, default=200, help="created each day")
    parser.add_argument("--keep-days", type=float, default=7, help="the age of the rows that each purge removes")
    parser.add_argument(
        "--history", type=int, default=1_000, help="entries that are kept, of a kind in a bucket; -1: all"
    )
    parser.add_argument("--hold-transaction", action="store_true", help="keep a transaction open all the time")
    arguments = parser.parse_args(words)
    trimming = {TRIMMING: arguments.history}
    with (
        hold_transaction() if arguments.hold_transaction else nullcontext(),
        open_month(arguments.database, arguments.records, arguments.keep_days, trimming) as month,
    ):
        for night in month.run(arguments.days):
            print(f"day {night.day + 1:2} before: {describe(night.before)}", flush=True)
            print(f"day {night.day + 1:2} after:  {describe(night.after)}", flush=True)
        start = time.process_time(), time.monotonic()
        faults = month.check()
        seconds = time.process_time() - start[0], time.monotonic() - start[1]
        print(
            f"kinto check: {len(faults)} fault(s), {seconds[0]:.1f} s of processor time here, {seconds[1]:.1f} s in all"
        )


if __name__ == "__main__":
    main()
