"""Timestamps that no table takes any more: new databases refuse them, and those that hold some are served."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import Engine, insert, update
from sqlalchemy.exc import DataError, IntegrityError

from backends.storage import LATEST, LIVING, Change, Move, Stored
from backends.storage.tables import clocks, documents, grants, indexes, members, metadata
from tests.support.client import Answer, Client
from tests.support.databases import BASICAUTH, DATABASES, make_app
from tests.support.unchecked import drop_constraints, own_database

B = "/buckets/b"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
R = f"{RECORDS}/r"

HELD = (2**53, 253402300800000, 2**63 - 2, 2**63 - 1, -5, -(10**15))
"""Timestamps that earlier versions, or Kinto, may have stored."""

ROWS: Mapping[Any, Mapping[str, Any]] = {
    documents: {
        "bucket": "/x",
        "uri": "/x/y",
        "list": "/x",
        "born": 1,
        "last_modified": 1,
        "deleted": False,
        "data": "{}",
    },
    grants: {
        "bucket": "/x",
        "uri": "/x/y",
        "list": "/x",
        "permission": "read",
        "principal": "p",
        "since": 1,
        "until": LIVING,
    },
    members: {"user_id": "u", "principal": "/x/y", "since": 1, "until": LIVING},
    clocks: {"bucket": "/x", "list": "/x", "last_modified": 1, "floor": 1, "count": 0},
    indexes: {
        "bucket": "/x",
        "list": "/x",
        "slot": 1,
        "prefix": "",
        "definition": "{}",
        "origin": "declared",
        "state": "ready",
        "done": "",
        "since": 1,
    },
}
BOUNDS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("born", "last_modified", "since", "floor"), (0, LATEST)),
    "until": (0, LIVING),
    "count": (0, LIVING),
    "former": (0, LIVING),
    "slot": (1, 4),
}


@pytest.fixture(params=DATABASES, scope="module")
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Alice's client of a service on a database of its own, with constraints."""
    with own_database(request.param, tmp_path_factory.mktemp("database")) as url:
        app = make_app(url, BASICAUTH)
        yield Client(app)
        app.extensions["kinto"].close()


@pytest.fixture(params=DATABASES, scope="module")
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Give a client of a service on a database that was made before there were constraints."""
    with own_database(request.param, tmp_path_factory.mktemp("database")) as url:
        app = make_app(url, BASICAUTH)
        client = Client(app)
        drop_constraints(_engine(client).url.render_as_string(hide_password=False).replace("+psycopg2", ""))
        _engine(client).dispose()
        app.extensions["kinto"].storage.reading.dispose()
        yield client
        app.extensions["kinto"].close()


def _engine(client: Client) -> Engine:
    """Return an engine in transactions: that of the storage is in autocommit."""
    storage = client.app.extensions["kinto"].storage
    engine: Engine = storage._dialect.transactional(storage.writing, 1)
    return engine


def _fails(engine: Engine, *statements: Any) -> bool:
    with engine.connect() as connection:
        try:
            for statement in statements:
                connection.execute(statement)
        except (DataError, IntegrityError):
            return True
        finally:
            connection.rollback()
    return False


def test_new_tables_bound_every_timestamp_and_the_count(service: Client) -> None:
    """Both in an INSERT and in an UPDATE; the bounds themselves are taken."""
    engine = _engine(service)
    numbers = {
        (table, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if column.type.python_type is int
    }
    assert {name for _, name in numbers} == set(BOUNDS)

    for table, name in sorted(numbers, key=str):
        row, (least, most) = ROWS[table], BOUNDS[name]
        for value in (least, most):
            assert not _fails(engine, insert(table).values({**row, name: value})), (name, value)
        for value in {least - 1, -(10**15), *((most + 1, 2**53, LIVING - 1, LIVING) if most == LATEST else ())}:
            assert _fails(engine, insert(table).values({**row, name: value})), (name, value)
            assert _fails(engine, insert(table).values(row), update(table).values({name: value})), (name, value)
    for value in (LATEST + 1, LIVING - 1):
        assert _fails(engine, insert(grants).values({**ROWS[grants], "until": value}))
        assert _fails(engine, insert(members).values({**ROWS[members], "until": value}))


def test_a_wrong_count_stops_no_deletion(service: Client) -> None:
    """A constraint is nothing that a request meets: the count ends at 0."""
    service.app.extensions["kinto"].flush()
    service.batch(*({"method": "PUT", "path": path} for path in (B, C, R, f"{RECORDS}/s")))
    with _engine(service).begin() as connection:
        connection.execute(update(clocks).where(clocks.c.list == RECORDS).values(count=1))

    assert service.delete(R).status == 200
    assert [entry["status"] for entry in service.batch({"method": "DELETE", "path": RECORDS}).json["responses"]] == [
        200
    ]
    assert service.head(RECORDS).headers["Total-Objects"] == "0"


def hold(old: Client, held: int) -> None:
    """Empty the service and make the records `r` and `held`, which has a timestamp that no write is given."""
    service = old.app.extensions["kinto"]
    service.flush()
    old.batch(*({"method": "PUT", "path": path} for path in (B, C, R)))
    clock = max(held, old.get(RECORDS).etag)
    stored = Stored(f"{RECORDS}/held", held, False, held, f'{{"id":"held","last_modified":{held}}}')
    with service.storage.transaction() as transaction:
        transaction.lock((RECORDS,))
        transaction.write([Change(stored, clock, granted=frozenset((("write", old.id),)))], [Move(RECORDS, clock, 1)])


@pytest.mark.parametrize("held", HELD)
def test_a_timestamp_out_of_range_that_is_stored_is_served(old: Client, held: int) -> None:
    """DECISIONS: what a takeover or an older setting stored is served and synchronised, on all pages."""
    hold(old, held)
    etag = old.get(RECORDS).headers["ETag"]

    answers = [
        old.get(RECORDS),
        old.head(RECORDS),
        old.get(f"{RECORDS}/held"),
        old.get(f"{RECORDS}?_since=0&_sort=last_modified&_limit=1"),
        *(old.get(f"{RECORDS}?{name}={etag}") for name in ("_since", "_before", "_to", "min_last_modified")),
        *(old.get(f"{RECORDS}?{name}={etag}") for name in ("lt_last_modified", "last_modified", "not_last_modified")),
        old.get(RECORDS, if_match=etag),
    ]

    assert [answer.status for answer in answers] == [200] * len(answers)
    assert old.get(RECORDS, if_none_match=etag).status == 304
    assert old.put(R, {}, if_match='"1234567890123456789012345"').status == 412
    assert old.get(R, if_none_match='"1234567890123456789012345"').status == 200
    assert held < 0 or _all_pages(old) == {"held", "r"}  # a token holds no negative timestamp


def _all_pages(client: Client) -> set[str]:
    ids, path = [], f"{RECORDS}?_limit=1"
    while path:
        page = client.get(path)
        ids += [row["id"] for row in page.data]
        path = "/v1" + page.headers["Next-Page"].partition("/v1")[2] if "Next-Page" in page.headers else ""
    assert len(ids) == len(set(ids))
    return set(ids)


WRITES: dict[str, Callable[[Client, int], Answer]] = {
    "PUT of another": lambda c, held: c.put(R, {"n": 2}),
    "PUT with its own timestamp": lambda c, held: c.put(f"{RECORDS}/held", {"last_modified": held}),
    "PATCH": lambda c, held: c.patch(f"{RECORDS}/held", {"n": 2}),
    "a JSON Patch": lambda c, held: c.ask(
        "PATCH",
        f"{RECORDS}/held",
        [{"op": "add", "path": "/data/n", "value": 1}],
        {"Content-Type": "application/json-patch+json"},
    ),
    "a permission": lambda c, held: c.patch(f"{RECORDS}/held", {}, {"read": ["x"]}),
    "DELETE": lambda c, held: c.delete(f"{RECORDS}/held"),
    "DELETE of its time": lambda c, held: (
        c.delete(f"{RECORDS}/held?last_modified={abs(held)}") if held > 0 else c.delete(f"{RECORDS}/held")
    ),
    "DELETE of the list": lambda c, held: c.delete(RECORDS),
    "DELETE of the collection": lambda c, held: c.delete(C),
    "a new life of the collection": lambda c, held: (c.delete(C), c.put(C))[1],
    "POST": lambda c, held: c.post(RECORDS, {}),
    "a batch": lambda c, held: c.batch(
        {"method": "DELETE", "path": f"{RECORDS}/held"},
        {"method": "PUT", "path": f"{RECORDS}/held"},
        {"method": "PUT", "path": f"{RECORDS}/new"},
    ),
}


@pytest.mark.parametrize("held", [held for held in HELD if held not in (2**53, -(10**15))])
def test_a_list_with_a_timestamp_out_of_range_is_written(old: Client, held: int) -> None:
    """DECISIONS; the second time finds what the first has written. One timestamp beyond all dates, and one below 0."""
    for name, ask in WRITES.items():
        hold(old, held)

        answers = [ask(old, held), old.put(f"{C}"), old.put(f"{RECORDS}/next"), old.put(f"{RECORDS}/next")]

        assert all(answer.status in (200, 201) for answer in answers), (name, [answer.body for answer in answers])
        assert all(entry["status"] < 300 for entry in (answers[0].json or {}).get("responses", ())), name
        assert answers[3].etag > answers[2].etag, name
        assert old.get(RECORDS).etag == answers[3].etag, name
        assert "next" in [row["id"] for row in old.get(f"{RECORDS}?_since={answers[2].etag}").data], name
