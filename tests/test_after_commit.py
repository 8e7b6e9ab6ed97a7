"""An answer that is an error means that nothing was done, a success that all was done: whatever fails, and whenever.

Each action is repeated with a failure at its first call of a backend, at its second and so on, of that call alone and
of all from there on: storage, commit, cache, metrics, listeners after the commit, log handlers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from app.entries import list_patterns
from app.errors import ApiError
from app.factory import create_app
from app.service import Service
from backends import BackendError
from blueprints.plugins.accounts import create_user
from scripts.command import main
from tests import services
from tests.client import Answer, Client, basic
from tests.databases import DATABASES, database_url, make_app
from tests.faults import FAULTS, FailingHandler
from tests.plugins.people import ACCOUNTS

B = "/buckets/b"
C = f"{B}/collections/c"
R = f"{C}/records"
FAILED = 500
ALICE = {"Authorization": basic("alice", "pw")}
_TABLES = ("documents", "grants", "members", "clocks")
_FACTS = {
    "documents": "SELECT uri, deleted FROM documents",
    "grants": "SELECT uri, permission, principal FROM grants WHERE until = 9223372036854775807",
    "members": "SELECT user_id, principal FROM members WHERE until = 9223372036854775807",
    "clocks": "SELECT list, count FROM clocks",
}


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


def _purge(service: Service) -> None:
    service.storage.purge(list_patterns(service.kinds, [service.kinds["record"]]), 0)


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
    "purge-deleted": _raises(_purge),
}


@pytest.fixture(params=DATABASES)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Give a client of a service whose backends can fail."""
    FAULTS.reset()
    settings = {
        **ACCOUNTS,
        "kinto.includes": "kinto.plugins.accounts kinto.plugins.flush tests.faults",
        "kinto.userid_hmac_secret": "golden-secret",
        "kinto.user-data_delete_principals": "system.Authenticated",
        "kinto.bucket_create_principals": "system.Authenticated",
    }
    app = make_app(database_url(request.param, request), settings)
    yield Client(app)
    FAULTS.reset()
    app.extensions["kinto"].close()


@pytest.fixture
def failing_logs() -> Iterator[None]:
    """Let log handlers fail."""
    loggers = [logging.getLogger(name) for name in ("request.summary", "kinto.core.authorization", "kinto.core.events")]
    known = [(logger, logger.level) for logger in loggers]
    handler = FailingHandler()
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield
    for logger, level in known:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _rows(client: Client, statement: Callable[[str], str]) -> dict[str, list[str]]:
    """Return rows of all tables, read past what is made to fail."""
    inner: Any = client.app.extensions["kinto"].storage
    while not hasattr(inner, "reading"):
        inner = inner._storage
    with inner.reading.connect() as connection:
        return {
            table: sorted(str(tuple(row)) for row in connection.execute(text(statement(table)))) for table in _TABLES
        }


def _everything(client: Client) -> dict[str, list[str]]:
    return _rows(client, lambda table: f"SELECT * FROM {table}")


def _facts(client: Client) -> dict[str, list[str]]:
    """Return what does not depend on the time."""
    return _rows(client, _FACTS.__getitem__)


def _prepare(client: Client, action: Action) -> Any:
    """Make the state before the action anew."""
    service = client.app.extensions["kinto"]
    service.flush()
    client.as_(None).ask("PUT", "/accounts/alice", {"data": {"password": "pw"}})
    client.put(B, permissions={"read": ["account:alice"], "write": ["account:alice"]})
    client.put(C)
    client.put(f"{B}/groups/g", {"members": [client.id, "account:alice"]})
    for id in "abcd":
        client.put(f"{R}/{id}", permissions={"read": ["account:alice"]})
    client.delete(f"{R}/d")
    client.as_("bob").put("/buckets/hidden")
    return action.prepare(client)


def _act(client: Client, action: Action, prepared: Any) -> int:
    """Return the status of an action; 500 where even the error handler failed (a log handler did)."""
    try:
        return action.act(client, prepared)
    except (OSError, RuntimeError):
        return FAILED


@pytest.mark.parametrize("once", [False, True], ids=["from a call on", "one call"])
@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS.keys())
def test_an_error_means_that_nothing_was_done_and_a_success_that_all_was(
    client: Client, failing_logs: None, action: Action, once: bool
) -> None:
    prepared = _prepare(client, action)
    FAULTS.reset()
    reference = _act(client, action, prepared)
    calls = FAULTS.calls
    assert reference < 300, "the action succeeds when nothing fails"
    assert "commit" in FAULTS.names
    done = _facts(client)

    before = None
    for number in range(calls):
        FAULTS.reset()
        if before is None:
            prepared = _prepare(client, action)
            before = _everything(client)
        FAULTS.reset(number, once=once)
        status = _act(client, action, prepared)
        names = FAULTS.names
        failed = names[number] if number < len(names) else "nothing"
        FAULTS.reset()

        if status == reference:
            assert _facts(client) == done, f"a success after a failure of {failed} ({number})"
            before = None
        else:
            assert status in (401, 403, 409, 500, 503), f"{status} after a failure of {failed} ({number})"
            assert _everything(client) == before, f"{status} after a failure of {failed} ({number})"
            assert "commit" not in names[:number], f"{status} after a failure of {failed}, after the commit"
            # What follows uses the same state and the same page token. One failure alone may cost the token: a commit
            # that fails together with the cache.
            before = None if "commit" in names else before


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
