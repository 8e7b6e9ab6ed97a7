"""An answer that is an error means that nothing was done, a success that all was done: whatever fails, and whenever.

Each action is repeated with a failure at each place where it calls a backend, of that call alone and of all from there
on: storage, commit, cache, metrics, listeners after the commit, log handlers.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.errors import ApiError
from app.factory import create_app
from app.service import Service
from backends import BackendError
from backends.storage.tables import metadata
from blueprints.plugins.accounts import create_user
from scripts.command import main
from tests.plugins.people import ACCOUNTS
from tests.support import services
from tests.support.client import Answer, Client, basic
from tests.support.databases import database_url, keep_app
from tests.support.faults import FAULTS, FailingHandler

B = "/buckets/b"
C = f"{B}/collections/c"
R = f"{C}/records"
ALICE = {"Authorization": basic("alice", "pw")}
_TABLES = ("documents", "grants", "members", "clocks")
_FACTS = {
    "documents": "SELECT uri, deleted FROM documents",
    "grants": "SELECT uri, permission, principal FROM grants WHERE until = 9223372036854775807",
    "members": "SELECT user_id, principal FROM members WHERE until = 9223372036854775807",
    "clocks": "SELECT list, count FROM clocks",
}
Rows = dict[str, list[str]]


@dataclass(frozen=True)
class Action:
    """Something that writes: `act` returns an HTTP status, `prepare` makes what it needs and returns what it takes."""

    act: Callable[[Client, Any], int]
    prepare: Callable[[Client], Any] = lambda client: None


def _request(method: str, path: str, data: Any = None, **more: Any) -> Action:
    body = {"data": data, **more} if data is not None or more else None
    return Action(lambda client, _: client.ask(method, path, body).status)


def _next(answer: Answer) -> str:
    return answer.headers["Next-Page"].partition("localhost")[2]


def _second_page(client: Client) -> str:
    return _next(client.delete(f"{R}?_limit=1"))


def _batch(client: Client, path: str) -> int:
    answer = client.batch(
        {"method": "DELETE", "path": path},
        {"method": "PUT", "path": f"{R}/new"},
        {"method": "POST", "path": f"{B}/groups", "body": {"data": {"id": "h", "members": ["basicauth:2"]}}},
        {"method": "PUT", "path": "/buckets/hidden"},
        {"method": "DELETE", "path": f"{B}/groups/g"},
    )
    if answer.status != 200:
        return answer.status
    statuses = [each["status"] for each in answer.json["responses"]]
    assert statuses == [200, 201, 201, 403, 200]
    return 200


def _raises(act: Callable[[Service], None]) -> Action:
    def status(client: Client, _: Any) -> int:
        try:
            act(client.app.extensions["kinto"])
        except (BackendError, ApiError):
            return 503
        return 200

    return Action(status)


def _as_alice(method: str, data: Any = None) -> Action:
    body = {"data": data} if data else None
    return Action(
        lambda client, _: client.as_(None).ask(method, "/accounts/alice", body, ALICE).status,
        lambda client: client.as_(None).ask("GET", "/", headers=ALICE),
    )


ACTIONS = {
    "PUT that creates": _request("PUT", f"{R}/new", {"a": 1}),
    "PUT that replaces": _request("PUT", f"{R}/a", {"a": 1}, permissions={"read": ["system.Everyone"]}),
    "PUT of a bucket": _request("PUT", "/buckets/new"),
    "POST": _request("POST", R, {"id": "new"}),
    "PATCH": _request("PATCH", f"{B}/groups/g", {"members": ["basicauth:2"]}),
    "DELETE of a record": _request("DELETE", f"{R}/a"),
    "DELETE of a group": _request("DELETE", f"{B}/groups/g"),
    "DELETE of a collection": _request("DELETE", C),
    "DELETE of a bucket": _request("DELETE", B),
    "DELETE of records": _request("DELETE", R),
    "DELETE of collections": _request("DELETE", f"{B}/collections"),
    "DELETE of buckets": _request("DELETE", "/buckets"),
    "DELETE of a first page": _request("DELETE", f"{R}?_limit=1"),
    "DELETE of a page": Action(lambda client, path: client.delete(path).status, _second_page),
    "DELETE of a last page": Action(
        lambda client, path: client.delete(path).status, lambda client: _next(client.delete(f"{R}?_limit=2"))
    ),
    "a batch": Action(_batch, _second_page),
    "DELETE of user data": Action(lambda client, _: client.delete(f"/__user_data__/{client.id}").status),
    "flush": Action(lambda client, _: client.ask("POST", "/__flush__").status),
    "sign-up": Action(
        lambda client, _: client.as_(None).ask("PUT", "/accounts/bob", {"data": {"password": "pw"}}).status
    ),
    "a new password": _as_alice("PUT", {"password": "other"}),
    "a new password in a patch": _as_alice("PATCH", {"password": "other"}),
    "deletion of an account": _as_alice("DELETE"),
    "create-user": _raises(lambda service: create_user(service, "carol", "pw")),
    "create-user of an account": _raises(lambda service: create_user(service, "alice", "other")),
}


WITH_STATEMENTS_OF_THEIR_OWN = (
    "PUT that replaces",
    "DELETE of a group",
    "DELETE of buckets",
    "DELETE of a page",
    "a batch",
    "flush",
    "deletion of an account",
    "create-user",
)
"""What fails around them does not depend on the database; the other actions call the same backends in their order."""

CASES = [
    pytest.param(database, ACTIONS[name], once, id=f"{database}-{name}-{'one call' if once else 'from a call on'}")
    for database, names, once in (
        ("sqlite", ACTIONS, True),
        ("sqlite", WITH_STATEMENTS_OF_THEIR_OWN, False),
        ("postgresql", WITH_STATEMENTS_OF_THEIR_OWN, True),
        ("postgresql", WITH_STATEMENTS_OF_THEIR_OWN, False),
    )
    for name in names
]
SETTINGS = {
    **ACCOUNTS,
    "kinto.includes": "kinto.plugins.accounts kinto.plugins.flush tests.support.faults",
    "kinto.userid_hmac_secret": "golden-secret",
    "kinto.user-data_delete_principals": "system.Authenticated",
    "kinto.bucket_create_principals": "system.Authenticated",
    # Nobody here has a wrong password, so none may be counted.
    "kinto.account_login_failures_per_account": 1,
    "kinto.account_login_failures_per_address": 1,
}


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Give a client of a service whose backends can fail; there is no account of its name."""
    FAULTS.reset()
    yield Client(keep_app(database_url(request.param, request), SETTINGS), "dave")
    FAULTS.reset()


@contextmanager
def _failing_logs() -> Iterator[None]:
    """Let a log handler that fails get all lines, in the place of those that pytest adds to every test."""
    root = logging.getLogger()
    loggers = [logging.getLogger(name) for name in ("request.summary", "kinto.core.authorization", "kinto.core.events")]
    levels, handlers = [logger.level for logger in loggers], root.handlers
    root.handlers = [FailingHandler()]
    for logger in loggers:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers = handlers
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _inside(client: Client, backend: str) -> Any:
    """Return the `storage` or the `cache` inside what measures it."""
    inner: Any = getattr(client.app.extensions["kinto"], backend)
    while hasattr(inner, f"_{backend}"):
        inner = getattr(inner, f"_{backend}")
    return inner


def _rows(client: Client, statement: Callable[[str], str]) -> Rows:
    with _inside(client, "storage").reading.connect() as connection:
        return {
            table: sorted(str(tuple(row)) for row in connection.exec_driver_sql(statement(table))) for table in _TABLES
        }


def _everything(client: Client) -> Rows:
    return _rows(client, lambda table: f"SELECT * FROM {table}")


def _facts(client: Client) -> Rows:
    """Return what does not depend on the time."""
    return _rows(client, _FACTS.__getitem__)


def _insertable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as the storage inserts it: with JSON as text, which psycopg2 decodes."""
    return {name: json.dumps(value) if isinstance(value, dict) else value for name, value in row.items()}


class _State:
    """What an action finds: made once by requests, then restored from a copy of the tables and of the cache."""

    def __init__(self, client: Client, action: Action) -> None:
        self._client = client
        self._engine = _inside(client, "storage").writing
        self._cache = _inside(client, "cache")
        self.prepared = _prepare(client, action)
        self.rows = _everything(client)
        with self._engine.begin() as connection:
            self._copies = [
                (table, [_insertable(row) for row in connection.execute(table.select()).mappings()])
                for table in metadata.tables.values()
            ]
        self._entries = dict(self._cache._entries)

    def restore(self) -> None:
        """Make tables and cache what they were."""
        with self._engine.begin() as connection:
            for table, copy in self._copies:
                connection.execute(table.delete())
                if copy:
                    connection.execute(table.insert(), copy)
        self._cache._entries.clear()
        self._cache._entries.update(self._entries)


def _prepare(client: Client, action: Action) -> Any:
    """Make the state before the action anew."""
    service = client.app.extensions["kinto"]
    service.flush()
    client.as_(None).ask("PUT", "/accounts/alice", {"data": {"password": "pw"}})
    client.put(B, permissions={"read": ["account:alice"], "write": ["account:alice"]})
    client.put(C)
    client.put(f"{B}/groups/g", {"members": [client.id, "account:alice"]})
    for object_id in "abcd":
        client.put(f"{R}/{object_id}", permissions={"read": ["account:alice"]})
    client.delete(f"{R}/d")
    client.as_("bob").put("/buckets/hidden")
    return action.prepare(client)


@pytest.mark.parametrize(("client", "action", "once"), CASES, indirect=["client"])
def test_an_error_means_that_nothing_was_done_and_a_success_that_all_was(
    client: Client, action: Action, once: bool
) -> None:
    with _failing_logs():
        state = _State(client, action)
        FAULTS.reset(traced=True)
        reference = action.act(client, state.prepared)
        numbers = FAULTS.distinct()
        assert reference < 300, "the action succeeds when nothing fails"
        assert "commit" in FAULTS.names
        FAULTS.reset()
        done = _facts(client)
        assert numbers

        untouched = False
        for number in numbers:
            if not untouched:
                state.restore()
            FAULTS.reset(number, once=once)
            status = action.act(client, state.prepared)
            names = FAULTS.names
            failed = names[number] if number < len(names) else "nothing"
            FAULTS.reset()

            if status == reference:
                assert _facts(client) == done, f"a success after a failure of {failed} ({number})"
                untouched = False
            else:
                assert status in (401, 403, 409, 500, 503), f"{status} after a failure of {failed} ({number})"
                assert _everything(client) == state.rows, f"{status} after a failure of {failed} ({number})"
                assert "commit" not in names[:number], f"{status} after a failure of {failed}, after the commit"
                # What follows uses the same state and the same page token. One failure alone may cost the token: a
                # commit that fails together with the cache.
                untouched = "commit" not in names
                if once and failed == "commit":
                    assert action.act(client, state.prepared) == reference, "after a commit that failed it succeeds"


def _counts(client: Client) -> list[str]:
    """Return the counts of wrong passwords that the cache holds, beside logins."""
    texts = [entry.text for entry in _inside(client, "cache")._entries.values()]
    return [text for text in texts if len(json.loads(text)) == 2]


@pytest.mark.parametrize("client", ["sqlite"], indirect=True)
@pytest.mark.parametrize("once", [False, True], ids=["from a call on", "one call"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/", None),
        ("GET", "/accounts/alice", None),
        ("GET", R, None),
        ("PUT", f"{R}/a", {"data": {}}),
        ("POST", "/batch", {"requests": [{"path": "/"}, {"path": f"{R}/a"}]}),
    ],
)
def test_a_login_that_could_not_be_checked_is_no_wrong_password(
    client: Client, method: str, path: str, body: Any, once: bool
) -> None:
    def ask(authorization: dict[str, str]) -> int:
        return client.as_(None).ask(method, path, body, authorization).status

    with _failing_logs():
        state = _State(client, Action(lambda client, _: 0))
        FAULTS.reset(traced=True)
        assert ask(ALICE) == 200

        for number in FAULTS.distinct():
            state.restore()
            FAULTS.reset(number, once=once)
            ask(ALICE)
            failed = FAULTS.names[number]
            FAULTS.reset()
            assert _counts(client) == [], failed
            assert ask(ALICE) == 200, failed

        state.restore()
        ask({"Authorization": basic("alice", "wrong")})
        assert len(_counts(client)) == 2, "what is counted is found"


@pytest.mark.parametrize(
    ("command", "code"),
    [(("create-user", "-u", "carol", "-p", "pw"), 0), (("purge-deleted", "record", "0"), 0), (("flush-cache",), 1)],
    ids=["create-user", "purge-deleted", "flush-cache"],
)
def test_a_command_reports_what_it_did_when_the_cache_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], code: int
) -> None:
    settings = {
        **ACCOUNTS,
        "kinto.userid_hmac_secret": "golden-secret",
        "kinto.storage_backend": "sqlite",
        "kinto.storage_url": f"sqlite:///{tmp_path}/kinto.sqlite",
        "kinto.cache_backend": "redis",
        "kinto.cache_url": f"redis://127.0.0.1:{services.free_port()}/0",
    }
    ini = tmp_path / "kinto.ini"
    ini.write_text("\n".join(["[app:main]", *(f"{name} = {value}" for name, value in settings.items())]))
    for name in set(os.environ) - set(services.as_environment({})):
        monkeypatch.delenv(name)

    with CliRunner().isolation():
        assert main([*command, "--ini", str(ini)]) == code
    if command[0] == "create-user":
        app = create_app({**settings, "kinto.cache_backend": "memory", "kinto.cache_url": ""})
        answer = Client(app).as_(None).ask("GET", "/accounts/carol", headers={"Authorization": basic("carol", "pw")})
        assert answer.status == 200
        app.extensions["kinto"].close()
