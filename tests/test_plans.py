"""How many rows the database looks at for a read, whatever the size of its tables and what its statistics say.

Counts alone do not show a plan: one statement may look at every row of a table. Here a list of a few thousand objects
is read by people who stand to it in different ways; PostgreSQL says how many rows each step of its plan looked at, and
of SQLite the instructions of its virtual machine are counted.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

import pytest
from psycopg2.extras import execute_values
from sqlalchemy import event

from app import entries
from app.factory import create_app
from app.kinds import Kinds, core_kinds
from app.parsing import queries
from app.parsing.ids import NameGenerator
from app.parsing.parameters import Fields
from backends.codec import dumps
from backends.storage import (
    LIVING,
    NEWEST_FIRST,
    AccessSelection,
    Filter,
    Holdings,
    Index,
    Order,
    Page,
    Selection,
    Storage,
)
from backends.storage.compiled import Sql
from backends.storage.index_keys import object_key
from backends.storage.index_terms import terms_of
from backends.storage.indexes import read_definition
from backends.storage.intervals import OBJECT
from backends.storage.tables import grants, metadata
from tests.support.databases import BASICAUTH, make_app
from tests.support.services import postgresql_database

B = "/buckets/b"
C = f"{B}/collections/c"
LIST = f"{C}/records"
GROUP = f"{B}/groups/g"
OBJECTS = 12_000
TOMBSTONES = 6_000
EARLY = 1_100
"""How many of the oldest objects are shared with one reader: more than `gates.FEW`."""
MOST_ROWS = 2_600
ENTRIES_OF_A_PAGE = 50
PAGES_OF_A_LOOKUP = 8
PAGES_OF_AN_OBJECT = 64
PAGES_OF_A_ROW = 2
MOST_INSTRUCTIONS = 60_000
"""Reading all rows of the list, of its grants or of its tombstones would take five times as many, of either."""

OTHER_INDEX = "grants_in_order"
"""The index of `GET /permissions`. With it a lookup of one object passes over all grants of a reader, uncounted."""

NEWEST = 1_000 + OBJECTS + TOMBSTONES


INDEX = Index(LIST, 2, bytes.fromhex("0100000000000001"), read_definition('{"fields":["n"]}'))
"""An index of the list: one object in fifty has each of its values."""

TEXTS = Index(LIST, 5, bytes.fromhex("0100000000000002"), read_definition('{"text":["title"]}'))
ELEMENTS = Index(LIST, 6, bytes.fromhex("0100000000000003"), read_definition('{"contains":["tags"]}'))
"""Indexes with terms: one object in a thousand has each word and each element; all have the word `all`."""


def _rows(encode_terms: Callable[[Sequence[int]], str | None]) -> dict[str, Iterator[tuple[Any, ...]]]:
    living = range(1, OBJECTS + 1)
    text = '{"id":"x","last_modified":1,"n":1}'

    def key(number: int) -> bytes | None:
        return object_key(INDEX, {"n": number % 50, "last_modified": 1_000 + number})[0]

    def entries(number: int) -> tuple[Any, ...]:
        document = {"n": number % 50, "title": f"all w{number % 1_000}", "tags": [f"t{number % 1_000}"]}
        return dumps(document), None, key(number), None, None, encode_terms(terms_of([TEXTS, ELEMENTS], document))

    def documents() -> Iterator[tuple[Any, ...]]:
        nothing = (text, *[None] * 5)
        yield B, B, "/buckets", 1, 1, False, *nothing
        yield B, C, f"{B}/collections", 1, 1, False, *nothing
        yield from ((B, f"{LIST}/r{n}", LIST, 1, 1_000 + n, False, *entries(n)) for n in living)
        gone = ((f"{LIST}/gone{n}", 1_000 + OBJECTS + n) for n in range(1, TOMBSTONES + 1))
        yield from ((B, uri, LIST, 1, timestamp, True, *nothing) for uri, timestamp in gone)

    def indexes() -> Iterator[tuple[Any, ...]]:
        for each in (INDEX, TEXTS, ELEMENTS):
            yield B, LIST, each.slot, each.prefix.hex(), each.definition.text(), "declared", "ready", "", 1

    def grants() -> Iterator[tuple[Any, ...]]:
        yield B, B, "/buckets", "write", "owner", 1, LIVING
        yield B, C, f"{B}/collections", "read", GROUP, 1, LIVING
        yield from ((B, f"{LIST}/r{n}", LIST, "write", "owner", 1, LIVING) for n in living)
        yield from ((B, f"{LIST}/r{n}", LIST, "read", "crowded", 1, LIVING) for n in living if n % 2)
        yield from ((B, f"{LIST}/r{n * 7}", LIST, "read", "few", 1, LIVING) for n in range(1, 6))
        yield from ((B, f"{LIST}/r{n}", LIST, "read", "early", 1, LIVING) for n in range(1, EARLY + 1))
        yield from ((B, f"{LIST}/r{n}", LIST, "read", "former", 1, 5) for n in living)
        yield from ((B, f"{LIST}/r5", LIST, "read", f"reader{n}", 1, LIVING) for n in range(3_000))
        yield from ((B, C, f"{B}/collections", "read", f"reader{n}", 1, LIVING) for n in range(3_000))

    def members() -> Iterator[tuple[Any, ...]]:
        yield from ((f"member{n}", GROUP, 1, LIVING) for n in range(3_000))

    def clocks() -> Iterator[tuple[Any, ...]]:
        yield B, LIST, NEWEST, 1, OBJECTS

    return {
        "documents": documents(),
        "indexes": indexes(),
        "grants": grants(),
        "members": members(),
        "clocks": clocks(),
    }


TABLES = ("documents", "indexes", "grants", "members", "clocks")


def _fill(storage: Any, most: int | None = None) -> None:
    """Fill the tables as an import does, past the rules, with *most* rows each or all."""
    connection = storage.writing.raw_connection()
    cursor = connection.cursor()
    if storage.writing.dialect.name == "postgresql":
        for table, lines in _lines_of_copy(storage._dialect.encode_terms).items():
            columns = metadata.tables[table].c.keys()[: lines[0].count("\t") + 1]
            cursor.copy_from(io.StringIO("".join(lines[:most])), table, columns=columns)
    else:
        cursor.execute("BEGIN")
        for table, rows in _rows(storage._dialect.encode_terms).items():
            values = list(rows)
            places = ",".join("?" * len(values[0]))
            columns = metadata.tables[table].c.keys()[: len(values[0])]
            cursor.executemany(f"INSERT INTO {table} ({','.join(columns)}) VALUES ({places})", values)
        cursor.execute("COMMIT")
    connection.commit()
    connection.close()


_lines: dict[str, list[str]] = {}


def _lines_of_copy(encode_terms: Callable[[Sequence[int]], str | None]) -> dict[str, list[str]]:
    """Return the rows as COPY reads them; they are made once, for all databases."""
    if not _lines:
        for table, rows in _rows(encode_terms).items():
            _lines[table] = ["\t".join(map(_in_copy, row)) + "\n" for row in rows]
    return _lines


def _in_copy(value: Any) -> str:
    if value is None:
        return "\\N"
    return f"\\\\x{value.hex()}" if isinstance(value, bytes) else str(value)


def _analyze(storage: Any) -> None:
    """Have the database look at its tables."""
    if storage.writing.dialect.name == "postgresql":
        _vacuum(storage)
        return
    connection = storage.writing.raw_connection()
    connection.cursor().execute("ANALYZE")
    connection.close()


def _vacuum(storage: Any) -> None:
    """Remove what is left in the indexes of PostgreSQL of rows that are gone, too: it counts as looked at."""
    connection = storage.writing.raw_connection()
    connection.driver_connection.autocommit = True
    for table in TABLES:
        connection.cursor().execute(f"VACUUM ANALYZE {table}")
    connection.invalidate()


def _fill_with_other_data(storage: Any) -> None:
    """Leave the statistics of data that are gone: small buckets, one user in all groups, a list with few objects."""
    connection = storage.writing.raw_connection()
    cursor = connection.cursor()
    members = [("robot", f"{B}/groups/g{n}", 1, LIVING) for n in range(3_000)]
    execute_values(cursor, "INSERT INTO members VALUES %s", members)
    grants = [(B, f"{LIST}/r{n}", LIST, "write", "robot", 1, LIVING) for n in range(3_000)]
    grants += [(f"{B}{n}", f"{B}{n}", "/buckets", "write", "robot", 1, LIVING) for n in range(30_000)]
    execute_values(cursor, "INSERT INTO grants VALUES %s", grants, page_size=5_000)
    connection.commit()
    connection.close()
    _analyze(storage)
    storage.flush()


def _fill_and_empty(storage: Any) -> None:
    """Leave statistics of tables that are nearly empty, and indexes as big as they were."""
    _fill(storage)
    connection = storage.writing.raw_connection()
    for table in TABLES:
        connection.cursor().execute(
            f"DELETE FROM {table} WHERE ctid <> ALL (ARRAY(SELECT ctid FROM {table} ORDER BY ctid DESC LIMIT 4))"
        )
    connection.commit()
    connection.close()
    _analyze(storage)
    storage.flush()


def _plan_while_small(storage: Any) -> None:
    """Leave statistics of tables with a few rows, and a connection that has planned all statements for these."""
    _fill(storage, 4)
    _analyze(storage)
    _plan(storage)


def _plan_while_new(storage: Any) -> None:
    """Leave a connection that has planned all statements for tables of which nothing was known."""
    _fill(storage, 4)
    _plan(storage)


def _plan(storage: Any) -> None:
    """Leave a connection that has planned all statements, and empty tables."""
    sent = _statements(storage, lambda: _act(storage))
    connection = storage.reading.raw_connection()
    cursor = connection.cursor()
    cursor.execute("DEALLOCATE ALL")
    for sql, values in {sql.name: (sql, values) for _, _, sql, values in sent if sql is not None}.values():
        cursor.execute(sql.prepare)
        text, arguments = sql.execute(values)
        cursor.execute(f"EXPLAIN {text}", arguments)
    PLANNED[storage] = connection
    storage.flush()


def _act(storage: Any) -> None:
    """Send each statement of which the tests of this file ask how it is planned."""
    for page in (
        *PAGES.values(),
        *INDEXED.values(),
        *TERMS.values(),
        *FREQUENT.values(),
        *COUNTED_TERMS,
        COUNTED,
        {**COUNTED, "filters": (Filter(("n",), "eq", 7),)},
    ):
        for _ in range(2):  # the first read of a list finds out that it has an index
            storage.read(_page("few", **page))
    storage.read(OBJECT_OF_MANY)
    storage.read(OBJECTS_OF_A_BATCH)
    for selection in _permissions("few"):
        storage.read_accessible(selection)
    with storage.transaction() as transaction:
        transaction.user_holdings("few")
    for holdings in ENDED.values():
        _end(storage, holdings)


PLANNED: dict[Any, Any] = {}
"""By storage, a connection with plans that were made while its tables were new or small."""

EXPLAINING: dict[Any, Any] = {}
"""By storage, a connection for the plans of all tests: a new one reads the catalogs of PostgreSQL first."""

BEFORE = {
    "of new tables": _plan_while_new,
    "of small tables": _plan_while_small,
    "of other data": _fill_with_other_data,
    "of emptied tables": _fill_and_empty,
}
STATISTICS = (*BEFORE, "of these data")
SOURCES = [("sqlite", "none"), ("sqlite", "of these data"), *(("postgresql", kind) for kind in STATISTICS)]


@pytest.fixture(scope="module", params=SOURCES, ids=lambda source: f"{source[0]}-statistics {source[1]}")
def storage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """Give a storage whose tables were just filled, with what its database knew before or learned afterwards."""
    database, statistics = request.param
    # A database of its own: these statistics and 30,000 dead rows in each index would be left for other tests.
    with postgresql_database() if database == "postgresql" else nullcontext(file_url(tmp_path_factory)) as url:
        service = make_app(url, BASICAUTH).extensions["kinto"]
        if database == "postgresql":
            disable_autovacuum(service.storage)
        if statistics in BEFORE:
            BEFORE[statistics](service.storage)
        _fill(service.storage)
        if statistics == "of these data":
            _analyze(service.storage)
            service.close()
            service = create_app({"kinto.storage_url": url, **BASICAUTH}).extensions["kinto"]
        EXPLAINING[service.storage] = service.storage.reading.raw_connection()
        yield service.storage
        for connections in (PLANNED, EXPLAINING):
            if service.storage in connections:
                connections.pop(service.storage).invalidate()
        service.close()


def disable_autovacuum(storage: Any) -> None:
    """Have PostgreSQL look at the tables only when it is told to."""
    connection = storage.writing.raw_connection()
    for table in TABLES:
        connection.cursor().execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    connection.close()


def file_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path_factory.mktemp('plans')}/kinto.sqlite"


_Sent = tuple[str, Any, Sql | None, Any]
"""A statement with its values, and how it can be prepared, with the values for that."""


def looked_at(storage: Any, act: Callable[[], object]) -> tuple[int, str]:
    """Return how much of the tables is looked at, in rows or in instructions, and how to show it.

    What is written is written once more.
    """
    sent = _statements(storage, act)
    kept = EXPLAINING.get(storage)
    raw = kept or storage.reading.raw_connection()
    try:
        if storage.reading.dialect.name == "postgresql":
            return _rows_looked_at(raw, PLANNED.get(storage), sent)
        return _instructions(raw, sent)
    finally:
        raw.rollback()
        if not kept:
            raw.invalidate()  # with what was prepared on it


def _statements(storage: Any, act: Callable[[], object]) -> list[_Sent]:
    """Return the statements that are sent by *act*."""
    sent: list[_Sent] = []
    kept: dict[str, tuple[Sql, Any]] = {}

    def keep(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters, *kept.get(statement, (None, None))))

    def bind(sql: Sql, values: Any) -> Any:
        if sql.repeats:
            kept[sql.text] = sql, values
        return bind_values(sql, values)

    bind_values = Sql.bind
    for engine in (storage.reading, storage.writing):
        event.listen(engine, "before_cursor_execute", keep)
    with patch.object(Sql, "bind", bind):
        act()
    for engine in (storage.reading, storage.writing):
        event.remove(engine, "before_cursor_execute", keep)
    return sent


def _rows_looked_at(raw: Any, planned: Any, sent: Sequence[_Sent]) -> tuple[int, str]:
    """Count the rows of each statement as it is planned for its values, as prepared, and as *planned* before.

    Of these the most.
    """
    total, plans = 0, []
    for statement, parameters, sql, values in sent:
        forms = [(raw, statement, parameters)]
        raw.cursor().execute("DEALLOCATE ALL")
        if sql is not None:
            raw.cursor().execute(sql.prepare)
            forms += [(connection, *sql.execute(values)) for connection in (raw, planned) if connection]
        counts = []
        for connection, form, bound in forms:
            cursor = connection.cursor()
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {form}", bound)
            plan = cursor.fetchone()[0][0]["Plan"]
            counts.append(sum(map(_looked_at, _nodes(plan))))
            plans.append(json.dumps(plan, indent=1))
        total += max(counts)
    return total, "\n".join(plans)


def _nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def _looked_at(node: Any) -> int:
    """Return how many rows of a table a step of the plan looked at, or entries of its index.

    PostgreSQL counts no entries that an index scan passes over, so these are derived from the pages that it read.
    """
    if "Relation Name" not in node or "Operation" in node:
        return 0
    loops = node["Actual Loops"]
    rows: int = loops * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
    pages = _pages(node) - sum(map(_pages, node.get("Plans", ())))
    expected = loops * (PAGES_OF_AN_OBJECT if _looks_among_grants_of_object(node) else PAGES_OF_A_LOOKUP)
    passed_over: int = ENTRIES_OF_A_PAGE * max(pages - expected - PAGES_OF_A_ROW * rows, 0)
    return rows + passed_over


def _looks_among_grants_of_object(node: Any) -> bool:
    """Return whether a grant is looked up among all grants on its object, as PostgreSQL before 18 may do.

    It does if its statistics tell of an empty table whose indexes are big. Plans of PostgreSQL 18 have `Disabled`.
    """
    is_older = "Disabled" not in node
    return is_older and node.get("Index Name") == "grants_pkey" and "(uri = " in node.get("Index Cond", "")


def _pages(node: Any) -> int:
    pages: int = node["Shared Hit Blocks"] + node["Shared Read Blocks"]
    return pages


def _count_steps(connection: sqlite3.Connection) -> list[int]:
    """Return a list that grows by one item for each hundred instructions of SQLite's virtual machine."""
    steps: list[int] = []

    def count() -> int:
        steps.append(1)
        return 0

    connection.set_progress_handler(count, 100)
    return steps


def _instructions(raw: Any, sent: Sequence[_Sent]) -> tuple[int, str]:
    connection = raw.driver_connection
    steps = _count_steps(connection)
    try:
        for statement, parameters, *_ in sent:
            connection.execute(statement, parameters).fetchall()
    finally:
        connection.set_progress_handler(None, 0)
    plans = [
        row[3]
        for statement, parameters, *_ in sent
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
    ]
    return len(steps) * 100, "\n".join(plans)


INDEXED: dict[str, dict[str, Any]] = {
    "an equality": {"filters": (Filter(("n",), "eq", 7),)},
    "ten values": {"filters": (Filter(("n",), "in", tuple(range(10))),)},
    "a sort": {"order": (Order(("n",)), *NEWEST_FIRST)},
    "a deep page of a sort": {
        "order": (Order(("n",)), *NEWEST_FIRST),
        "after": (25, 1_000 + OBJECTS // 2 + 25, f"{LIST}/r{OBJECTS // 2 + 25}"),
    },
    "a range": {"filters": (Filter(("n",), "min", 48),), "order": (Order(("n",)), *NEWEST_FIRST)},
}

TERMS: dict[str, dict[str, Any]] = {
    "a word": {"words": ("w7",)},
    "two words": {"words": ("all", "w7")},
    "a word and an element": {"words": ("all",), "filters": (Filter(("tags",), "contains", ["t7"]),)},
    "an element": {"filters": (Filter(("tags",), "contains", ["t7"]),), "order": (Order(("n",)), *NEWEST_FIRST)},
    "one of two elements": {"filters": (Filter(("tags",), "contains_any", ["t7", "t8"]),)},
}
COUNTED_TERMS = [{**page, "limit": LIVING, "count_only": True} for page in TERMS.values()]
FREQUENT: dict[str, dict[str, Any]] = {
    "by an index with keys": {"words": ("all",), "order": (Order(("n",)), *NEWEST_FIRST)},
    "in the order of the list": {"words": ("all",)},
}

READERS = ("owner", "member7", "reader7", "few", "crowded", "former", "nobody")
PAGES: dict[str, dict[str, Any]] = {
    "the first page": {},
    "a deep page": {"after": (1_000 + OBJECTS // 2, f"{LIST}/r{OBJECTS // 2}")},
    "the oldest first": {"order": (Order(("last_modified",)),)},
    "a poll without news": {"filters": (Filter(("last_modified",), "gt", NEWEST),), "tombstones": True, "limit": 9_999},
    "a poll": {"filters": (Filter(("last_modified",), "gt", NEWEST - 5),), "tombstones": True, "limit": 9_999},
    "304": {"unless_timestamp": NEWEST},
}


def _page(reader: str, **more: Any) -> Selection:
    page = Page(LIST, **{"limit": 11, **more})
    return Selection(
        B, ancestors=(B, C), clocks=(LIST,), readers=(reader, "system.Everyone"), ancestor_documents=False, page=page
    )


COUNTED: dict[str, Any] = {"limit": LIVING, "count_only": True}
OBJECT_OF_MANY = Selection(
    B, targets=(f"{LIST}/r5",), ancestors=(B, C), readers=("few",), ancestor_documents=False, limited_grants=True
)
OBJECTS_OF_A_BATCH = Selection(
    B,
    targets=tuple(f"{LIST}/r{number}" for number in range(100, 125)),
    ancestors=(B, C),
    clocks=(LIST,),
    readers=("owner", "system.Everyone"),
)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())
def test_a_page_looks_at_few_rows(storage: Any, page: dict[str, Any], reader: str) -> None:
    most = MOST_ROWS if storage.reading.dialect.name == "postgresql" else MOST_INSTRUCTIONS

    cost, plan = looked_at(storage, lambda: storage.read(_page(reader, **page)))

    assert cost <= most, f"{cost}\n{plan}"
    assert OTHER_INDEX not in plan, plan


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ({}, range(EARLY, EARLY - 11, -1)),
        ({"order": (Order(("last_modified",)),)}, range(1, 12)),
        ({"limit": 9_999}, range(EARLY, 0, -1)),
    ],
    ids=["last in the order", "first in the order", "without a limit"],
)
def test_a_page_does_not_search_the_list_for_objects_at_its_end(
    storage: Any, page: dict[str, Any], expected: Sequence[int]
) -> None:
    """More objects are shared than are looked up in any case, and those are the last ones in the order of the list."""
    on_postgresql = storage.reading.dialect.name == "postgresql"
    # SQLite takes some 160 steps for an object that it returns.
    most = 4 * EARLY + MOST_ROWS if on_postgresql else 200_000

    cost, plan = looked_at(storage, lambda: storage.read(_page("early", **page)))

    assert [stored.uri for stored in storage.read(_page("early", **page)).page] == [f"{LIST}/r{n}" for n in expected]
    assert cost <= most, f"{cost}\n{plan}"


@pytest.mark.parametrize("page", INDEXED.values(), ids=INDEXED.keys())
def test_a_page_by_an_index_looks_at_its_own_rows(storage: Any, page: dict[str, Any]) -> None:
    """The first read of a list finds out that it has the index, the second one uses it."""
    most = 150 if storage.reading.dialect.name == "postgresql" else 12_000
    storage.read(_page("owner", **page))

    cost, plan = looked_at(storage, lambda: storage.read(_page("owner", **page)))

    assert "documents_by_k2" in plan
    assert cost <= most, f"{cost}\n{plan}"


@pytest.mark.parametrize("table", ["documents", "grants"])
def test_one_bucket_is_expected_to_have_most_rows(storage: Any, table: str) -> None:
    """Or a plan reads all rows of a large bucket where most are small."""
    if storage.reading.dialect.name == "sqlite":
        pytest.skip("SQLite chooses by the columns of an index.")
    connection = storage.reading.raw_connection()
    cursor = connection.cursor()
    cursor.execute(f"PREPARE of_bucket (text) AS SELECT 1 FROM {table} WHERE bucket = $1")
    plans = []
    for statement in (
        f"EXPLAIN (FORMAT JSON) EXECUTE of_bucket ('{B}')",
        f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {table}",
    ):
        cursor.execute(statement)
        plans.append(cursor.fetchone()[0][0]["Plan"])
    connection.invalidate()

    assert plans[0]["Plan Rows"] >= plans[1]["Plan Rows"] / 250  # without statistics a 200th is expected


@pytest.mark.parametrize("page", TERMS.values(), ids=TERMS.keys())
def test_a_page_by_terms_looks_at_the_objects_that_have_them(storage: Any, page: dict[str, Any]) -> None:
    on_postgresql = storage.reading.dialect.name == "postgresql"
    selection = _page("owner", **page)
    counted = _page("owner", **page | {"limit": LIVING, "count_only": True})
    elements = page["filters"][0].value if "filters" in page else ["t7"]
    for each in (selection, counted):
        storage.read(each)

        cost, plan = looked_at(storage, partial(storage.read, each))

        assert ("documents_by_terms" if on_postgresql else "SEARCH terms USING PRIMARY KEY") in plan
        assert cost <= (100 if on_postgresql else 40_000 if "all" in str(page) else 12_000), f"{cost}\n{plan}"
    assert storage.read(counted).total == OBJECTS // 1_000 * len(elements)


@pytest.mark.parametrize("page", FREQUENT.values(), ids=FREQUENT.keys())
def test_a_page_of_a_frequent_word_is_read_as_without_terms(storage: Any, page: dict[str, Any]) -> None:
    most = 1_200 if storage.reading.dialect.name == "postgresql" else 80_000
    selection = _page("owner", **page)
    storage.read(selection)

    cost, plan = looked_at(storage, lambda: storage.read(selection))

    distance = 50 if "order" in page else 1
    assert [stored.id for stored in storage.read(selection).page] == [f"r{OBJECTS - n * distance}" for n in range(11)]
    assert cost <= most, f"{cost}\n{plan}"


def test_a_total_is_counted_by_the_keys_of_an_index(storage: Any) -> None:
    counted = _page("owner", filters=(Filter(("n",), "eq", 7),), **COUNTED)
    storage.read(counted)

    cost, plan = looked_at(storage, lambda: storage.read(counted))

    assert storage.read(counted).total == OBJECTS // 50
    assert cost <= (OBJECTS // 50 + 50 if storage.reading.dialect.name == "postgresql" else 30_000), f"{cost}\n{plan}"


@pytest.mark.parametrize("reader", READERS)
def test_an_object_of_many_readers_looks_at_few_rows(storage: Any, reader: str) -> None:
    """Only who holds `write` is shown who else holds what."""
    readers = (reader, "system.Everyone") if reader != "owner" else ("nobody",)
    selection = replace(OBJECT_OF_MANY, readers=readers)
    most = 50 if storage.reading.dialect.name == "postgresql" else 3_000

    cost, plan = looked_at(storage, lambda: storage.read(selection))

    assert cost <= most, f"{cost}\n{plan}"


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader != "crowded"])
def test_a_total_is_not_counted_row_by_row(storage: Any, reader: str) -> None:
    most = MOST_ROWS if storage.reading.dialect.name == "postgresql" else MOST_INSTRUCTIONS

    cost, plan = looked_at(storage, lambda: storage.read(_page(reader, **COUNTED)))

    assert cost <= most, f"{cost}\n{plan}"


def test_what_is_read_of_a_batch_looks_at_few_rows(storage: Any) -> None:
    most = 200 if storage.reading.dialect.name == "postgresql" else 20_000

    cost, plan = looked_at(storage, lambda: storage.read(OBJECTS_OF_A_BATCH))

    assert cost <= most, f"{cost}\n{plan}"


KINDS = Kinds()
for kind in core_kinds(lambda name: NameGenerator()):
    KINDS.add(kind)
PERMISSIONS = (
    "",
    "_sort=uri",
    "_sort=-resource_name",
    "exclude_resource_name=record,group",
    "resource_name=record&bucket_id=b&collection_id=c",
    f"lt_uri={LIST}/r5000",
    f"in_uri={LIST}/r5,{LIST}/r6,{LIST}/r7",
    "in_bucket_id=a,b,c&_sort=uri",
)


@pytest.mark.parametrize("reader", READERS)
def test_a_page_of_permissions_looks_at_few_rows(storage: Any, reader: str) -> None:
    """Whatever somebody may access, the rows that are looked at are those of the page, for each principal and kind."""
    most = 150 if storage.reading.dialect.name == "postgresql" else 12_000

    for selection in _permissions(reader):
        cost, plan = looked_at(storage, partial(storage.read_accessible, selection))

        assert cost <= most, f"{selection} {cost}\n{plan}"


def _permissions(reader: str) -> Iterator[AccessSelection]:
    """Yield pages of `GET /permissions`, with each permission on all buckets from the settings and without."""
    for text in PERMISSIONS:
        fields = Fields(entries.known_fields(KINDS))
        query = queries.parse(parse_qsl(text), "/permissions", queries.Limits(10, 10_000), 0, fields)
        for kinds in ((), ("bucket",)):
            yield entries.select_accessible(KINDS, query, (reader, "system.Everyone"), kinds, counting=False)


def test_what_a_principal_has_is_looked_up(storage: Any) -> None:
    """The cost of forgetting a user goes with what the user has, not with what others have."""
    on_postgresql = storage.reading.dialect.name == "postgresql"
    for holder, has in (("nobody", 0), ("few", 5), ("former", 0), ("crowded", OBJECTS // 2), ("owner", OBJECTS)):

        def read(holder: str = holder) -> None:
            with storage.transaction() as transaction:
                transaction.user_holdings(holder)

        cost, plan = looked_at(storage, read)

        assert cost <= (3 * has + 20 if on_postgresql else 150 * has + 2_000), f"{holder} {cost}\n{plan}"


class _Undone(Exception):
    """Nothing is to stay of what a test ended."""


def test_many_grants_end_by_a_plan_that_is_linear(storage: Any) -> None:
    """Each row is compared with few others: 2,000 that end among 60,000 that do not."""
    ended = [(B, f"{LIST}/r{number}", 5) for number in range(1, 2_001)]
    sent: list[tuple[str, Any]] = []

    def keep(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    with suppress(_Undone), storage.transaction() as transaction:
        event.listen(storage.writing, "before_cursor_execute", keep)
        storage._write_statements.intervals.end(transaction._session, grants, OBJECT, ended)
        event.remove(storage.writing, "before_cursor_execute", keep)
        raw = transaction.connection.connection
        if storage.writing.dialect.name == "sqlite":
            [(statement, parameters)] = sent
            steps = _count_steps(raw.driver_connection)
            raw.driver_connection.execute(statement, parameters)
            raw.driver_connection.set_progress_handler(None, 0)
            assert len(steps) <= 5_000
        else:
            raw.cursor().execute("ROLLBACK AND CHAIN")
            cursor = raw.cursor()
            [(statement, parameters)] = sent
            cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", parameters)
            plan = cursor.fetchone()[0][0]["Plan"]
            rows = sum(node["Actual Loops"] * node["Actual Rows"] for node in _nodes(plan))
            assert rows <= 400_000, json.dumps(plan, indent=1)
        raise _Undone


ENDED: dict[str, Holdings] = {
    "readers of one object": Holdings(grants=frozenset((C, "read", f"reader{n}") for n in range(1_000, 1_200))),
    "somebody's objects": Holdings(
        grants=frozenset((f"{LIST}/r{n}", "read", "crowded") for n in range(1_001, 1_401, 2))
    ),
    "members of one group": Holdings(members=frozenset((f"member{n}", GROUP) for n in range(1_000, 1_200))),
    "members of many groups": Holdings(memberships=frozenset(("member7", f"{B}/groups/g{n}") for n in range(200))),
}


@pytest.mark.parametrize("ended", ENDED.values(), ids=ENDED.keys())
def test_what_ends_is_looked_up_by_itself(storage: Any, ended: Holdings) -> None:
    """Not by the square of how many there are: 200 take a few rows each, whatever else is in the bucket."""
    most = 1_000 if storage.reading.dialect.name == "postgresql" else 60_000

    cost, plan = looked_at(storage, lambda: _end(storage, ended))

    assert cost <= most, f"{cost}\n{plan}"


def _end(storage: Any, holdings: Holdings) -> None:
    """Send what ends grants and memberships, and roll it back."""
    with storage.transaction() as transaction:
        transaction.start_clocks(holdings.lists(), 1)
        transaction.end_holdings(holdings, lambda name: NEWEST)
        transaction.rollback()
