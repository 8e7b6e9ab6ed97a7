"""What a purge removes, in batches that can be interrupted, on both databases (C-STO-7, C-STO-8, O-CLI-26, O-CLI-27).

The tables are filled past the rules and compared with a model: rows as sets of tuples.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import event, select

from app.entries import list_patterns
from backends.storage import LIVING, bucket_of, list_of, read_bucket, write_buckets
from backends.storage import purge as purging
from backends.storage.tables import ENTRIES, clocks, documents, grants, members
from tests.support.client import Client
from tests.support.databases import BASICAUTH, DATABASES, database_url, keep_app, make_app
from tests.support.tables import faults, read_tables

TABLES = (documents, grants, members, clocks)
KINDS = {
    "bucket": ("/buckets",),
    "group": ("/buckets/a/groups", "/buckets/b/groups"),
    "collection": ("/buckets/a/collections", "/buckets/b/collections"),
    "record": (
        "/buckets/a/collections/c/records",
        "/buckets/a/collections/c_/records",
        "/buckets/b/collections/c/records",
    ),
}
LISTS = [name for lists in KINDS.values() for name in lists]
PARENTS = sorted({list_of(name) for name in LISTS if name != "/buckets"})
PATTERNS = {
    "bucket": "/buckets",
    "group": "/buckets/%/groups",
    "collection": "/buckets/%/collections",
    "record": "/buckets/%/collections/%/records",
}
Rows = dict[str, set[tuple[Any, ...]]]


@pytest.fixture(params=DATABASES)
def storage(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Give a storage."""
    service = keep_app(database_url(request.param, request), BASICAUTH).extensions["kinto"]
    yield service.storage
    service.close()


def names(table: Any) -> list[str]:
    """Return the columns that a purge has to do with."""
    return [column.name for column in table.c if column.name not in ("former", *ENTRIES)]


def fill(storage: Any, rows: Mapping[str, Any]) -> None:
    """Put rows into the tables, in the place of what was there."""
    with storage.writing.connect() as connection:
        for table in TABLES:
            connection.execute(table.delete())
            values = [dict(zip(names(table), row, strict=True)) for row in rows[table.name]]
            if values:
                connection.execute(table.insert(), values)
        connection.commit()


def stored(storage: Any) -> Rows:
    """Return all rows of all tables."""
    with storage.reading.connect() as connection:
        return {
            table.name: {
                tuple(str(value) if isinstance(value, dict) else value for value in row)
                for row in connection.execute(select(*(table.c[name] for name in names(table))))
            }
            for table in TABLES
        }


def random_rows(dice: random.Random) -> Rows:
    """Return objects, tombstones, and intervals that end at few moments, in lists some of whose parents are gone."""
    rows: Rows = {table.name: set() for table in TABLES}

    def until() -> int:
        end: int = dice.choice((LIVING, *range(11, 40)))
        return end

    for name in LISTS:
        for number, stamp in enumerate(dice.sample(range(11, 40), dice.randrange(12))):
            uri, deleted = f"{name}/{number}", dice.random() < 0.7
            for bucket in (bucket_of(name),) if deleted else write_buckets(uri):
                rows["documents"].add((bucket, uri, name, 1, stamp, deleted, "{}"))
            for principal in ("bob", "eve"):
                for since in dice.sample(range(1, 11), dice.randrange(3)):
                    end = until()
                    rows["grants"] |= {(home, uri, name, "read", principal, since, end) for home in write_buckets(uri)}
        if name.endswith("/groups"):
            for user in ("bob", "eve", "kim"):
                for since in dice.sample(range(1, 11), dice.randrange(4)):
                    rows["members"].add((user, f"{name}/{dice.randrange(3)}", since, until()))
        rows["clocks"].add((bucket_of(name), name, *dice.choice(((12, 5), (25, 14), (39, 20), (50, 5))), 3))
    rows["documents"].update(random_parents(dice))
    return rows


def random_parents(dice: random.Random) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of some parents of the lists: of half of them, and tombstones of a quarter."""
    for number, uri in enumerate(PARENTS):
        fate = dice.choice(("lives", "lives", "was deleted", "is gone"))
        for bucket in {"lives": write_buckets(uri), "was deleted": (read_bucket(uri),), "is gone": ()}[fate]:
            yield bucket, uri, list_of(uri), 1, 40 + number, fate == "was deleted", "{}"


def model(rows: Rows, kinds: list[str], keep: int | None, before: int | None) -> tuple[Rows, int]:
    """Return what is left of rows, and how many tombstones went."""

    def limit(stamps: set[int]) -> int:
        newest = sorted(stamps, reverse=True)
        counted = newest[keep:] if keep is not None else []
        dated = [stamp for stamp in newest if before is not None and stamp < before]
        return max([-1, *counted, *dated])

    left: Rows = {name: set(some) for name, some in rows.items()}
    for name in (name for kind in kinds for name in KINDS[kind]):
        gone = {row[4] for row in rows["documents"] if row[2] == name and row[5]}
        granted = {row[6] for row in rows["grants"] if row[2] == name and row[6] < LIVING}
        joined = {row[3] for row in rows["members"] if list_of(row[1]) == name and row[3] < LIVING}
        tombstones = limit(gone)
        floor = max(row[3] for row in rows["clocks"] if row[1] == name)
        intervals = max(tombstones, limit(granted), limit(joined), floor)
        left["documents"] -= {row for row in rows["documents"] if row[2] == name and row[5] and row[4] <= tombstones}
        left["grants"] -= {row for row in rows["grants"] if row[2] == name and row[6] <= intervals}
        left["members"] -= {row for row in rows["members"] if list_of(row[1]) == name and row[3] <= intervals}
        removed = [
            *(row[4] for row in rows["documents"] - left["documents"] if row[2] == name),
            *(row[6] for row in rows["grants"] - left["grants"] if row[2] == name),
            *(row[3] for row in rows["members"] - left["members"] if list_of(row[1]) == name),
        ]
        for row in [row for row in rows["clocks"] if row[1] == name]:
            left["clocks"] -= {row}
            left["clocks"].add((*row[:2], *(max((value, *removed)) for value in row[2:4]), row[4]))
    parents = {row[1] for row in left["documents"]}
    lists = {name for kind in kinds for name in KINDS[kind] if name != "/buckets"}
    dead = [row for row in left["clocks"] if row[1] in lists and list_of(row[1]) not in parents]
    for row in dead:
        if before is None or row[2] < before:
            members_of_list = {each for each in left["members"] if list_of(each[1]) == row[1]}
            left["members"] -= {each for each in members_of_list if each[3] < LIVING}
            left["clocks"] -= set() if left["members"] & members_of_list else {row}
    return left, len(rows["documents"]) - len(left["documents"])


def expect_told(before: Rows, after: Rows) -> None:
    """Check that a client which would miss what has been removed polls from below the floor of its list."""
    floors = {row[1]: row[3] for row in after["clocks"]}
    assert all(row[2] >= row[3] for row in after["clocks"])
    ends = {
        *((row[2], row[4]) for row in before["documents"] - after["documents"]),
        *((row[2], row[6]) for row in before["grants"] - after["grants"]),
        *((list_of(row[1]), row[3]) for row in before["members"] - after["members"]),
    }
    assert all(stamp <= floors[name] for name, stamp in ends if name in floors)


@dataclass
class Batches:
    """Watches what each transaction of a purge removes, and interrupts the one after the *last*."""

    storage: Any
    last: int | None = None
    deleted: list[int] = field(default_factory=list)

    def __enter__(self) -> Batches:
        event.listen(self.storage.writing, "after_cursor_execute", self._count)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self.storage.writing, "after_cursor_execute", self._count)

    def _count(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE"):
            self.deleted.append(cursor.rowcount)
            if self.last is not None and len(self.deleted) > self.last:
                raise KeyboardInterrupt


RULES = {
    "by count": (2, None),
    "all": (0, None),
    "by age": (None, 25),
    "by count and by age": (4, 20),
    "nothing": (1_000, 5),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_purge_removes_what_has_ended_by_count_and_by_age(
    storage: Any, monkeypatch: pytest.MonkeyPatch, rule: tuple[int | None, int | None]
) -> None:
    """Batches of three rows; by count and by age together, interrupted in each of them, and started again."""
    monkeypatch.setattr(purging, "_MAX_ROWS", 3)
    # Not the statement that another test on the same storage has built, with the usual number of rows.
    monkeypatch.setattr(storage._purge, "_select_batch", purging._build_select_batch)
    for seed in range(3):
        dice = random.Random(seed)
        rows, kinds = random_rows(dice), dice.sample(sorted(KINDS), (4, 2, 1)[seed])
        patterns = [PATTERNS[kind] for kind in kinds]
        expected, tombstones = model(rows, kinds, *rule)
        fill(storage, rows)

        with Batches(storage) as batches:
            assert storage.purge(patterns, *rule) == tombstones

        assert stored(storage) == expected, seed
        # Grants of objects at the top stand in two buckets.
        assert max(batches.deleted, default=0) <= 3 * 2
        assert min(batches.deleted, default=1) >= 1
        if seed or None in rule:
            continue
        for last in range(0, len(batches.deleted), 9):
            fill(storage, rows)
            with pytest.raises(KeyboardInterrupt), Batches(storage, last):
                storage.purge(patterns, *rule)
            expect_told(rows, stored(storage))
            storage.purge(patterns, *rule)
            assert stored(storage) == expected, last


def test_what_lives_again_or_is_gone_before_its_batch_is_no_error(
    storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes, or deletes everything, between the read of a batch and its lock."""
    name = KINDS["record"][0]
    bucket, uri = bucket_of(name), f"{name}/r"
    row = (bucket, uri, name, "read", "bob", 3, 9)
    rows: Rows = {
        "documents": {(bucket, uri, name, 1, 9, True, "{}")},
        "grants": {row},
        "members": set(),
        "clocks": {(bucket, name, 9, 1, 0)},
    }
    again = {**rows, "documents": {(bucket, uri, name, 1, 12, False, "{}")}, "grants": {(*row[:6], LIVING)}}
    nothing: Rows = {table.name: set() for table in TABLES}
    transaction = storage.transaction
    for meanwhile in (again, nothing):

        def write_first(meanwhile: Rows = meanwhile) -> Any:
            fill(storage, meanwhile)
            return transaction()

        fill(storage, rows)
        monkeypatch.setattr(storage._purge, "_transaction", write_first)

        assert storage.purge([PATTERNS["record"]], 0) == 0
        after = stored(storage)
        assert (after["documents"], after["grants"]) == (meanwhile["documents"], meanwhile["grants"])


@pytest.mark.parametrize("database", DATABASES)
def test_writers_beside_a_purge_are_answered(
    database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of them, one of whom deletes and makes anew what is purged."""
    monkeypatch.setattr(purging, "_MAX_ROWS", 5)
    monkeypatch.setattr(purging, "MIN_AGE_MS", 0)
    app = make_app(database_url(database, request), BASICAUTH)
    client, service = Client(app), app.extensions["kinto"]
    patterns = list_patterns(service.kinds, service.kinds)
    statuses: list[int] = []

    def write(number: int) -> None:
        collection = f"/buckets/b/collections/c{number % 2}"
        record = f"{collection}/records/r{number}"
        requests: list[Callable[[], Any]] = [
            lambda: client.put(record, {}, {"read": ["bob"]}),
            lambda: client.put(f"/buckets/b/groups/g{number}", {"members": ["bob"]}),
            lambda: client.delete(record),
            lambda: client.put(f"/buckets/b/groups/g{number}", {"members": []}),
        ]
        if number == 0:
            requests += [lambda: client.delete(collection), lambda: client.put(collection)]
        statuses.extend(ask().status for _ in range(8) for ask in requests)

    for path in ("/buckets/b", "/buckets/b/collections/c0", "/buckets/b/collections/c1"):
        client.put(path)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        before = stored(service.storage)["clocks"]
        service.storage.purge(patterns, 0)
        after = {row[:2]: row for row in stored(service.storage)["clocks"]}
        assert all(after[row[:2]][2:4] >= row[2:4] for row in before if row[:2] in after)
    for writer in writers:
        writer.join()
    service.storage.purge(patterns, 0)
    rows = stored(service.storage)
    with service.storage.reading.connect() as connection:
        wrong = faults(read_tables(connection))
    service.close()

    assert wrong == []
    assert len(statuses) == 8 * (4 * 4 + 2)
    assert all(status < 500 for status in statuses)
    assert not any(row[5] for row in rows["documents"])
    assert {row[6] for row in rows["grants"]} | {row[3] for row in rows["members"]} <= {LIVING}


@pytest.mark.parametrize("deleted", ["/buckets/b", "/buckets/b/collections/c"])
def test_a_list_without_a_clock_starts_over_for_its_clients(
    storage: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, deleted: str
) -> None:
    """C-PRE-39: the clocks of what is deleted go with its tombstone, and no sooner than a day after their last use."""
    client = Client(keep_app(database_url(request.node.callspec.params["storage"], request), BASICAUTH))
    name, uris = KINDS["record"][0].replace("/a/", "/b/"), ("/buckets/b", "/buckets/b/collections/c")
    client.batch(*({"method": "PUT", "path": uri} for uri in (*uris, "/buckets/b/groups/g", f"{name}/r")))
    etag = client.get(name).etag
    client.put("/buckets/b/groups/g", {"members": ["bob"]})
    client.delete(deleted)

    def clocks_after_purge(keep: int, min_age_ms: int) -> set[str]:
        monkeypatch.setattr(purging, "MIN_AGE_MS", min_age_ms)
        storage.purge([*PATTERNS.values()], keep)
        return {row[1] for row in stored(storage)["clocks"] if list_of(row[1]) == deleted}

    beside_tombstone, young = clocks_after_purge(1, -1), clocks_after_purge(0, 1_000_000)
    left = clocks_after_purge(0, -1)
    client.batch(*({"method": "PUT", "path": uri} for uri in (*uris, f"{name}/s")))

    assert beside_tombstone == young != set() == left
    assert [row for row in stored(storage)["members"] if row[3] < LIVING] == []
    assert client.get(name).etag > etag
    assert [row["id"] for row in client.get(f"{name}?_since={etag}").data] == ["s"]


LARGE = "/buckets/b/collections/large/records"


def _large() -> Rows:
    """Return a list with 4,000 living objects, as many grants and memberships, and 1,000 of each that have ended."""
    bucket, group = "/buckets/b", "/buckets/b/groups/g"
    return {
        "documents": {(bucket, f"{LARGE}/r{n}", LARGE, 1, 100 + n, n % 5 == 0, "{}") for n in range(5_000)},
        "grants": {
            (bucket, f"{LARGE}/r{n}", LARGE, "read", "bob", 1, 100 + n if n % 5 == 0 else LIVING) for n in range(5_000)
        },
        "members": {(f"user{n}", group, 1, 100 + n if n % 5 == 0 else LIVING) for n in range(5_000)},
        "clocks": {(bucket, LARGE, 99_000, 1, 4_000), (bucket, "/buckets/b/groups", 99_000, 1, 1)},
    }


class Costs:
    """What the statements of a storage look at while they run: rows on PostgreSQL, else instructions of SQLite."""

    def __init__(self, storage: Any) -> None:
        self.total, self.plans = 0, [""]
        self._postgresql = storage.reading.dialect.name == "postgresql"
        for engine in (storage.reading, storage.writing):
            event.listen(engine, "before_cursor_execute", self._before)
            event.listen(engine, "after_cursor_execute", self._after)

    def _before(self, connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not self._postgresql:
            cursor.connection.set_progress_handler(self._step, 100)
            return
        with cursor.connection.cursor() as asking:
            changes = statement.startswith(("DELETE", "UPDATE"))
            asking.execute("SAVEPOINT here" if changes else "SELECT 1")
            asking.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", parameters)
            plan = asking.fetchone()[0][0]["Plan"]
            asking.execute("ROLLBACK TO here" if changes else "SELECT 1")
        self.total += sum(map(self._looked_at, self._nodes(plan)))
        self.plans.append(f"{statement}\n{json.dumps(plan, indent=1)}")

    def _after(self, connection: Any, cursor: Any, *_: Any) -> None:
        if not self._postgresql:
            cursor.connection.set_progress_handler(None, 0)

    def _step(self) -> int:
        self.total += 100
        return 0

    def _nodes(self, plan: Any) -> Iterator[Any]:
        yield plan
        for inner in plan.get("Plans", ()):
            yield from self._nodes(inner)

    def _looked_at(self, node: Any) -> int:
        if "Relation Name" not in node or node["Node Type"] == "ModifyTable":
            return 0
        rows: int = node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        return rows


@pytest.mark.parametrize("vacuumed", ["before", "after", None])
@pytest.mark.parametrize("database", DATABASES)
def test_a_purge_looks_at_what_it_removes(database: str, vacuumed: str | None, request: pytest.FixtureRequest) -> None:
    """All but the newest 500 in each of three tables go: what lives is not looked at.

    Whatever PostgreSQL knows of the tables: nothing, that they are empty, all.
    """
    if database == "sqlite" and vacuumed:
        pytest.skip("SQLite looks at no table by itself")
    service = make_app(database_url(database, request), BASICAUTH).extensions["kinto"]
    storage = service.storage

    def vacuum(when: str) -> None:
        if vacuumed == when:
            connection = storage.writing.raw_connection()
            connection.driver_connection.autocommit = True
            connection.cursor().execute("VACUUM ANALYZE")
            connection.invalidate()

    vacuum("before")
    fill(storage, _large())
    vacuum("after")
    costs = Costs(storage)

    assert storage.purge([PATTERNS["record"], PATTERNS["group"]], 500) == 500

    service.close()
    plans = "\n".join(costs.plans)
    # The limits: 1,000 that have ended in each table. Found, and deleted: 500 of each. Nothing of what lives.
    assert costs.total <= (8_000 if database == "postgresql" else 200_000), f"{costs.total}\n{plans}"
    assert "Seq Scan" not in plans
