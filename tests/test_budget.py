"""How many SQL statements and round trips each request takes, on both databases (docs/architecture.md, "Statements").

On PostgreSQL they are counted on the wire, as the server sees them; on SQLite by the cursor, where a row of
`executemany` is a statement of its own. BEGIN and COMMIT are no statements, but round trips. A change that adds a
statement changes this file too, and says why in its commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest
from sqlalchemy import event

from app.factory import create_app
from tests.support.client import Answer, Client, basic
from tests.support.databases import BASICAUTH, keep_app, sqlite_url
from tests.support.wire import Wire, counting_proxy

BUCKET = "/buckets/b"
LIST = f"{BUCKET}/collections/c/records"
RECORD = f"{LIST}/r"
SETTINGS = {
    **BASICAUTH,
    "kinto.experimental_permissions_endpoint": True,
    "kinto.user-data_delete_principals": "system.Authenticated",
}
WITH_ACCOUNTS = {
    **SETTINGS,
    "kinto.includes": "kinto.plugins.accounts",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.account_bcrypt_rounds": 4,
}
WITH_HISTORY = {
    **SETTINGS,
    "kinto.includes": "kinto.plugins.history",
    "kinto.history.auto_trim_max_count": 100,
    "kinto.history.auto_trim_threshold": 0,
}
WITH_QUOTAS = {
    **SETTINGS,
    "kinto.includes": "kinto.plugins.quotas",
    "kinto.quotas.collection_max_items": 1000,
}
WITH_DEFAULT_BUCKET = {
    **SETTINGS,
    "kinto.includes": "kinto.plugins.default_bucket",
    "kinto.default_bucket_hmac_secret": "salt",
}
DEFAULT_LIST = "/buckets/default/collections/c/records"
DEFAULT_RECORD = f"{DEFAULT_LIST}/r"


class Counter:
    """The statements that went to the database."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __call__(
        self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        sent = len(parameters) if executemany else 1
        self.statements += [" ".join(statement.split())] * sent


@contextmanager
def counted(client: Client) -> Iterator[Counter]:
    """Count what an application sends to its database."""
    storage, counter = client.app.extensions["kinto"].storage, Counter()
    for engine in (storage.reading, storage.writing):
        event.listen(engine, "before_cursor_execute", counter)
    yield counter
    for engine in (storage.reading, storage.writing):
        event.remove(engine, "before_cursor_execute", counter)


def _batch(client: Client, *members: dict[str, Any]) -> Answer:
    answer = client.batch(*members)
    assert all(entry["status"] < 400 for entry in answer.json["responses"]), answer.json
    return answer


def _puts(list_uri: str, count: int) -> list[dict[str, Any]]:
    return [
        {"method": "PUT", "path": f"{list_uri}/new-{number}", "body": {"data": {"n": number}}}
        for number in range(count)
    ]


def _groups(count: int) -> list[dict[str, Any]]:
    """Creations of groups, each with a member."""
    path = f"{BUCKET}/groups/new"
    return [
        {"method": "PUT", "path": f"{path}-{number}", "body": {"data": {"members": ["bob"]}}} for number in range(count)
    ]


def _deletions(creations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"method": "DELETE", "path": creation["path"]} for creation in creations]


def _all_kinds(count: int) -> list[dict[str, Any]]:
    """Creations, updates, deletions, reads and new permissions in one bucket."""
    return [
        *_puts(LIST, count),
        *({"method": "DELETE", "path": f"{LIST}/more-{number}"} for number in range(3)),
        {"method": "PATCH", "path": RECORD, "body": {"data": {"n": 7}, "permissions": {"read": ["bob"]}}},
        {"method": "GET", "path": RECORD},
        {"method": "PUT", "path": f"{BUCKET}/collections/d"},
    ]


def _ask_dora(client: Client, method: str, path: str, body: Any = None) -> Answer:
    """Ask as somebody with an account."""
    return client.as_(None).ask(method, path, body, {"Authorization": basic("dora", "pw")})


def _prepare_nothing(client: Client) -> None:
    pass


@dataclass(frozen=True)
class Budget:
    """A request, what it takes, and what is asked before it."""

    ask: Callable[[Client], Answer]
    statements: int
    before: Callable[[Client], object] = _prepare_nothing
    round_trips: int | None = None
    """How many messages PostgreSQL gets; None: one for each statement of a read, two for a write (lock and read; write
    and commit). More where a statement depends on another, or where the transaction starts again."""


_JSON_PATCH = {"Content-Type": "application/json-patch+json"}
_STEPS = [{"op": "add", "path": "/data/n", "value": 5}]
_USERS = [f"user-{number}" for number in range(1000)]
_Z = "/buckets/z/collections/c/records"


def _make_z(client: Client) -> None:
    _batch(client, {"method": "PUT", "path": "/buckets/z"}, {"method": "PUT", "path": "/buckets/z/collections/c"})


def _sign_up(client: Client) -> None:
    client.as_(None).put("/accounts/dora", {"password": "pw"})
    _ask_dora(client, "GET", "/")


def _sign_dora_up(client: Client) -> None:
    _sign_up(client)
    client.patch(RECORD, permissions={"read": ["account:dora"]})


def _share_with_group(client: Client) -> None:
    client.put(f"{BUCKET}/groups/readers", {"members": [client.as_("bob").id]})
    for object_id in ("r", "more-1", "more-2"):
        client.patch(f"{LIST}/{object_id}", permissions={"read": [f"{BUCKET}/groups/readers"]})


def _share_with_bob(client: Client) -> None:
    client.patch(BUCKET, permissions={"read": [client.as_("bob").id]})


ETAGS: dict[str, str] = {}
NEXT_PAGE: list[str] = []


def _keep_etag(path: str) -> Callable[[Client], object]:
    return lambda client: ETAGS.update({path: client.get(path).headers["ETag"]})


def _keep_next_page(client: Client) -> None:
    first = client.get(f"{LIST}?_limit=5&_sort=n")
    NEXT_PAGE[:] = ["/v1" + first.headers["Next-Page"].partition("/v1")[2]]


READS: dict[str, Budget] = {
    "GET of an object": Budget(lambda c: c.get(RECORD), 1),
    "GET of an object by a reader of a group": Budget(lambda c: c.as_("bob").get(RECORD), 1, _share_with_group),
    "GET of an object by nobody": Budget(lambda c: c.as_(None).get(RECORD), 1),
    "GET of a bucket": Budget(lambda c: c.get(BUCKET), 1),
    "GET of an object that is not there": Budget(lambda c: c.get(f"{LIST}/nope"), 1),
    "GET of an object by somebody who may not": Budget(lambda c: c.as_("eve").get(RECORD), 1),
    "304 of an object": Budget(lambda c: c.get(RECORD, if_none_match=ETAGS[RECORD]), 1, _keep_etag(RECORD)),
    "GET of a list": Budget(lambda c: c.get(LIST), 1),
    "GET of a list of buckets": Budget(lambda c: c.get("/buckets"), 1),
    "GET of a list by a reader of some objects": Budget(lambda c: c.as_("bob").get(LIST), 1, _share_with_group),
    "GET of a list by somebody who sees nothing of it": Budget(lambda c: c.as_("eve").get(LIST), 1),
    "GET of a page with filters and a sort": Budget(lambda c: c.get(f"{LIST}?_limit=5&n=1&_sort=n,-id"), 1),
    "GET of the next page": Budget(lambda c: c.get(NEXT_PAGE[0]), 1, _keep_next_page),
    "GET of what changed": Budget(lambda c: c.get(f"{LIST}?_since=5"), 1),
    "304 of a list": Budget(lambda c: c.get(LIST, if_none_match=ETAGS[LIST]), 1, _keep_etag(LIST)),
    "HEAD of a list": Budget(lambda c: c.head(LIST), 1),
    "HEAD of a list with a filter": Budget(lambda c: c.head(f"{LIST}?n=1"), 1),
    "GET of the permissions of somebody": Budget(lambda c: c.get("/permissions"), 1),
    "GET of the hello view": Budget(lambda c: c.get("/"), 1),
    "a batch of 25 GETs": Budget(lambda c: _batch(c, *({"path": f"{LIST}/more-{n}"} for n in range(25))), 1),
    "a batch of 25 GETs of lists": Budget(lambda c: _batch(c, *({"path": f"{LIST}?n={n}"} for n in range(25))), 25),
}

WRITES: dict[str, Budget] = {
    "PUT that replaces": Budget(lambda c: c.put(RECORD, {"n": 2}), 4),
    "PUT that creates": Budget(lambda c: c.put(f"{LIST}/new", {"n": 2}), 5),
    "PUT that creates what was deleted": Budget(lambda c: c.put(RECORD, {"n": 2}), 5, lambda c: c.delete(RECORD)),
    "PUT under If-Match": Budget(lambda c: c.put(RECORD, {}, if_match=ETAGS[RECORD]), 4, _keep_etag(RECORD)),
    "POST": Budget(lambda c: c.post(LIST, {"n": 2}), 5),
    "POST of what is there": Budget(lambda c: c.post(LIST, {"id": "r"}), 2),
    "PATCH": Budget(lambda c: c.patch(RECORD, {"n": 2}), 4),
    "JSON Patch": Budget(lambda c: c.ask("PATCH", RECORD, _STEPS, _JSON_PATCH), 4),
    "PUT that gives a permission": Budget(lambda c: c.put(RECORD, {}, {"read": ["bob"]}), 5),
    "PUT that gives 1,000 permissions": Budget(lambda c: c.put(RECORD, {}, {"read": _USERS}), 5),
    "PUT that gives one permission and takes another": Budget(
        lambda c: c.put(RECORD, {}, {"write": ["bob"]}), 6, lambda c: c.put(RECORD, {}, {"read": ["bob"]})
    ),
    "DELETE of a record": Budget(lambda c: c.delete(RECORD), 5),
    "DELETE of a record at a timestamp of the past": Budget(lambda c: c.delete(f"{RECORD}?last_modified=5"), 5),
    "PUT that creates a bucket": Budget(lambda c: c.put("/buckets/new"), 5),
    "PUT that replaces a bucket": Budget(lambda c: c.put(BUCKET, {"a": 2}), 4),
    "PUT of a collection that is new": Budget(lambda c: c.put(f"{BUCKET}/collections/new"), 5),
    "PUT of a group": Budget(lambda c: c.put(f"{BUCKET}/groups/g", {"members": ["bob", "dora"]}), 6),
    "PUT of a group of 1,000": Budget(
        lambda c: c.put(f"{BUCKET}/groups/m", {"members": [f"u{n}" for n in range(1000)]}), 6
    ),
    "DELETE of a group": Budget(lambda c: c.delete(f"{BUCKET}/groups/g"), 7, round_trips=3),
    "DELETE of all groups": Budget(
        lambda c: c.delete(f"{BUCKET}/groups"), 7, lambda c: c.batch(*_groups(20)), round_trips=4
    ),
    "a batch of 20 DELETEs of groups": Budget(
        lambda c: _batch(c, *_deletions(_groups(20))), 7, lambda c: c.batch(*_groups(20)), round_trips=3
    ),
    "DELETE of a collection": Budget(lambda c: c.delete(f"{BUCKET}/collections/c"), 7, round_trips=3),
    "DELETE of all collections": Budget(lambda c: c.delete(f"{BUCKET}/collections"), 9, round_trips=5),
    "DELETE of a bucket": Budget(lambda c: c.delete(BUCKET), 15, round_trips=9),
    "DELETE of all buckets": Budget(lambda c: c.delete("/buckets"), 13, _make_z, round_trips=8),
    "DELETE of a list": Budget(lambda c: c.delete(LIST), 5, round_trips=3),
    "DELETE of a page of a list": Budget(lambda c: c.delete(f"{LIST}?_limit=5"), 5, round_trips=3),
    "a timestamp of the past that the client chose": Budget(
        lambda c: c.put(f"{LIST}/old", {"last_modified": 5}), 6, round_trips=3
    ),
    "the removal of somebody's data": Budget(
        lambda c: c.as_("bob").delete(f"/__user_data__/{c.as_('bob').id}"), 8, _share_with_group, round_trips=6
    ),
    "a batch of 25 PUTs": Budget(lambda c: _batch(c, *_puts(LIST, 25)), 5),
    "a batch of 25 DELETEs": Budget(
        lambda c: _batch(c, *_deletions(_puts(LIST, 25))), 5, lambda c: _batch(c, *_puts(LIST, 25))
    ),
    "a batch of everything in one bucket": Budget(lambda c: _batch(c, *_all_kinds(15)), 6),
    "a small batch of everything in one bucket": Budget(lambda c: _batch(c, *_all_kinds(1)), 6),
    "a batch in two buckets": Budget(lambda c: _batch(c, *_puts(LIST, 12), *_puts(_Z, 12)), 7, _make_z, round_trips=5),
}

REFUSED: dict[str, Budget] = {
    "PUT by somebody who may not": Budget(lambda c: c.as_("eve").put(RECORD, {"n": 2}), 2),
    "DELETE of a bucket by somebody who may not": Budget(lambda c: c.as_("eve").delete(BUCKET), 2, round_trips=3),
    "PUT of what was modified": Budget(lambda c: c.put(RECORD, {"n": 2}, if_match='"5"'), 2),
    "POST with nonsense": Budget(lambda c: c.post(LIST, {"id": "/"}), 2),
    "DELETE of what is not there": Budget(lambda c: c.delete(f"{LIST}/nope"), 2),
    "a batch of 25 PUTs by somebody who may not": Budget(lambda c: c.as_("eve").batch(*_puts(LIST, 25)), 2),
}

ACCOUNTS: dict[str, Budget] = {
    "GET of an object by somebody with an account": Budget(lambda c: _ask_dora(c, "GET", RECORD), 1, _sign_dora_up),
    "GET of an own account": Budget(lambda c: _ask_dora(c, "GET", "/accounts/dora"), 1, _sign_dora_up),
    "PUT of a new account": Budget(lambda c: c.as_(None).put("/accounts/emil", {"password": "pw"}), 7, round_trips=4),
    "PUT of an own password": Budget(
        lambda c: _ask_dora(c, "PUT", "/accounts/dora", {"data": {"password": "new"}}), 6, _sign_dora_up, round_trips=4
    ),
    "DELETE of an own account": Budget(lambda c: _ask_dora(c, "DELETE", "/accounts/dora"), 9, _sign_up, round_trips=3),
    "DELETE of an own account that was granted something": Budget(
        lambda c: _ask_dora(c, "DELETE", "/accounts/dora"), 13, _sign_dora_up, round_trips=8
    ),
}
"""Requests of a service with accounts, to which the credentials are known."""


def _use_default_bucket(client: Client) -> None:
    client.put(DEFAULT_RECORD, {"n": 1})


DEFAULT_BUCKET: dict[str, Budget] = {
    "GET of an object in the default bucket": Budget(lambda c: c.get(DEFAULT_RECORD), 1, _use_default_bucket),
    "GET of a list in the default bucket": Budget(lambda c: c.get(DEFAULT_LIST), 1, _use_default_bucket),
    "PUT that replaces in the default bucket": Budget(
        lambda c: c.put(DEFAULT_RECORD, {"n": 2}), 4, _use_default_bucket, round_trips=2
    ),
    "a batch of 25 PUTs in the default bucket": Budget(
        lambda c: _batch(c, *_puts(DEFAULT_LIST, 25)), 5, _use_default_bucket, round_trips=2
    ),
}
"""Requests of a service with default buckets: as many statements as elsewhere, once bucket and collection exist."""


def _fill_history(client: Client) -> None:
    for count in (25, 25, 24):
        _batch(client, *_puts(LIST, count))


HISTORY: dict[str, Budget] = {
    "GET of an object whose changes are recorded": Budget(lambda c: c.get(RECORD), 1),
    "GET of a history": Budget(lambda c: c.get(f"{BUCKET}/history?uri={RECORD}&_limit=2"), 1),
    "PUT that replaces and is recorded": Budget(lambda c: c.put(RECORD, {"n": 2}), 5),
    "PUT that creates and is recorded": Budget(lambda c: c.put(f"{LIST}/new", {"n": 2}), 5),
    "a batch of 25 PUTs that are recorded": Budget(lambda c: _batch(c, *_puts(LIST, 25)), 5),
    "a batch of everything that is recorded": Budget(lambda c: _batch(c, *_all_kinds(15)), 6),
    "DELETE of a collection that is recorded": Budget(lambda c: c.delete(f"{BUCKET}/collections/c"), 8, round_trips=3),
    "PUT after which an old entry is removed": Budget(
        lambda c: c.put(RECORD, {"n": 2}), 9, _fill_history, round_trips=3
    ),
    "DELETE of a bucket with a history": Budget(lambda c: c.delete(BUCKET), 16, round_trips=10),
}
"""Requests of a service with history: entries are written with the changes, and need grants of their own."""

QUOTAS: dict[str, Budget] = {
    "GET of an object that is counted": Budget(lambda c: c.get(RECORD), 1),
    "PUT that makes an object bigger": Budget(lambda c: c.put(RECORD, {"n": 22}), 5),
    "a batch of 25 PUTs that are counted": Budget(lambda c: _batch(c, *_puts(LIST, 25)), 6, round_trips=3),
    "DELETE of a collection that is counted": Budget(lambda c: c.delete(f"{BUCKET}/collections/c"), 8, round_trips=3),
}
"""Requests of a service with quotas: the numbers are added last, with the COMMIT unless they grow towards a limit."""

SERVICES = (
    (SETTINGS, {**READS, **WRITES, **REFUSED}),
    (WITH_ACCOUNTS, ACCOUNTS),
    (WITH_DEFAULT_BUCKET, DEFAULT_BUCKET),
    (WITH_HISTORY, HISTORY),
    (WITH_QUOTAS, QUOTAS),
)
BUDGETS: dict[str, Budget] = {name: budget for _, table in SERVICES for name, budget in table.items()}
SERVICE_OF = {name: number for number, (_, table) in enumerate(SERVICES) for name in table}


@pytest.fixture(scope="module")
def on_sqlite() -> list[Client]:
    """Return alice's clients of `SERVICES` on SQLite that all requests share."""
    return [Client(keep_app(sqlite_url(), settings)) for settings, _ in SERVICES]


@pytest.fixture(scope="module")
def on_postgresql(postgresql_url: str) -> Iterator[tuple[list[Client], Wire]]:
    """Give the same on PostgreSQL, and what goes to the server: without PREPARE, which a connection sends once."""
    for settings in (WITH_ACCOUNTS, WITH_QUOTAS):
        keep_app(postgresql_url, settings)
    with counting_proxy(postgresql_url) as (url, wire):
        own = {"kinto.storage_url": url, "kinto.storage_prepare": False}
        apps = [create_app({**settings, **own}) for settings, _ in SERVICES]
        for app in apps:
            fill(Client(app), READS["GET of an object"])  # which opens the connections
        yield [Client(app) for app in apps], wire
        for app in apps:
            app.extensions["kinto"].close()


def fill(client: Client, budget: Budget) -> None:
    """Empty the service, make a bucket with a collection, a group and a few records, and do what comes before."""
    client.app.extensions["kinto"].flush()
    client.batch(
        {"method": "PUT", "path": BUCKET, "body": {"data": {"a": 1}}},
        {"method": "PUT", "path": f"{BUCKET}/collections/c", "body": {"data": {"a": 1}}},
        {"method": "PUT", "path": f"{BUCKET}/groups/g", "body": {"data": {"members": ["bob", "carol"]}}},
        {"method": "PUT", "path": RECORD, "body": {"data": {"n": 1}}},
    )
    client.batch(*({"method": "PUT", "path": f"{LIST}/more-{number}"} for number in range(25)))
    client.get(RECORD)
    budget.before(client)


@pytest.mark.parametrize("name", BUDGETS)
def test_sqlite_executes_as_many_statements_as_the_table_says(on_sqlite: list[Client], name: str) -> None:
    client = on_sqlite[SERVICE_OF[name]]
    fill(client, BUDGETS[name])

    with counted(client) as counter:
        answer = BUDGETS[name].ask(client)

    assert answer.status < 400 or name not in WRITES, answer.body
    assert len(counter.statements) == BUDGETS[name].statements, counter.statements


@pytest.mark.parametrize("name", BUDGETS)
def test_postgresql_gets_as_many_statements_as_the_table_says(
    on_postgresql: tuple[list[Client], Wire], name: str
) -> None:
    clients, wire = on_postgresql
    client = clients[SERVICE_OF[name]]
    fill(client, BUDGETS[name])
    wire.clear()

    BUDGETS[name].ask(client)

    budget = BUDGETS[name]
    round_trips = budget.round_trips or (budget.statements if name in READS or name.startswith("GET") else 2)
    assert (len(wire.tags), wire.round_trips) == (budget.statements, round_trips), wire.tags


@pytest.mark.parametrize("included", [WITH_HISTORY, WITH_QUOTAS], ids=["history", "quotas"])
def test_a_plugin_costs_a_write_one_statement_at_most_and_a_read_none(
    on_sqlite: list[Client], included: dict[str, Any]
) -> None:
    """P-QUOTA-1."""
    client = next(client for client, (settings, _) in zip(on_sqlite, SERVICES, strict=True) if settings is included)
    more = {}
    for name, budget in {**READS, **WRITES, **REFUSED}.items():
        fill(client, budget)
        with counted(client) as counter:
            budget.ask(client)
        more[name] = len(counter.statements) - budget.statements

    # The indexes of the history are in the bucket itself, and this write is in the list of all buckets.
    assert {name: number for name, number in more.items() if number > (name in WRITES)} == (
        {"PUT that replaces a bucket": 2} if included is WITH_HISTORY else {}
    )


def test_the_wire_counts_each_row_that_a_driver_sends_by_itself(postgresql_url: str) -> None:
    """As it counts statements that share a message, which are one round trip."""
    with counting_proxy(postgresql_url) as (url, wire):
        connection = psycopg2.connect(url)
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE numbers (number int)")
            wire.clear()
            cursor.executemany("INSERT INTO numbers VALUES (%s)", [(number,) for number in range(25)])
            by_rows = len(wire.tags), wire.round_trips
            wire.clear()
            cursor.execute("SELECT 1; SELECT 2")
            together = len(wire.tags), wire.round_trips
        connection.close()

    assert (by_rows, together) == ((25, 25), (2, 1))


def test_a_cursor_that_gets_many_rows_counts_them(on_sqlite: list[Client]) -> None:
    engine = on_sqlite[0].app.extensions["kinto"].storage.writing

    with counted(on_sqlite[0]) as counter, engine.begin() as connection:
        connection.exec_driver_sql("UPDATE members SET until = ? WHERE user_id = ?", [(1, "x")] * 25)

    assert len(counter.statements) == 25
