"""Neither making nor comparing a hash, which takes long by design, holds a lock meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bcrypt
import pytest

from tests.api.conftest import ClientMaker
from tests.plugins.people import People, two_people
from tests.support.client import Answer, basic

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
NEW = {"data": {"password": "new"}}


@pytest.fixture
def people(client_with: ClientMaker) -> People:
    """Return the people of a service with accounts alone."""
    return two_people(client_with)


def _batch(people: People, name: str | None, *members: dict[str, Any]) -> Answer:
    return people(name or "alice").ask("POST", "/batch", {"requests": list(members)})


def _as(name: str, password: str, path: str = "/buckets", **more: Any) -> dict[str, Any]:
    return {"path": path, "headers": {"Authorization": basic(name, password)}, **more}


REQUESTS: dict[str, tuple[Callable[[People], Answer], list[int]]] = {
    "a login": (lambda p: p("alice").ask("GET", "/accounts/alice"), [200]),
    "a wrong password": (lambda p: p("alice", "no").ask("PUT", "/buckets/b"), [401]),
    "a sign-up": (lambda p: p.nobody.ask("PUT", "/accounts/bob", NEW), [201]),
    "a sign-up by POST": (
        lambda p: p.nobody.ask("POST", "/accounts", {"data": {"id": "bob", "password": "pw"}}),
        [201],
    ),
    "a new password": (lambda p: p("alice").ask("PUT", "/accounts/alice", NEW), [200]),
    "a new password in a patch": (lambda p: p("alice").ask("PATCH", "/accounts/alice", NEW), [200]),
    "a new password in a merge patch": (
        lambda p: p("alice").ask("PATCH", "/accounts/alice", NEW, Content_Type=MERGE_PATCH),
        [200],
    ),
    "a new password in a JSON Patch": (
        lambda p: p("alice").ask(
            "PATCH",
            "/accounts/alice",
            [{"op": "replace", "path": "/data/password", "value": "new"}],
            Content_Type=JSON_PATCH,
        ),
        [200],
    ),
    "a batch of an account and its logins": (
        lambda p: _batch(
            p,
            "admin",
            {"method": "PUT", "path": "/accounts/bob", "body": NEW},
            _as("bob", "new", "/accounts/bob"),
            _as("bob", "new", "/buckets/b", method="PUT"),
            _as("bob", "wrong", "/accounts/bob"),
        ),
        [201, 200, 201, 401],
    ),
    "a batch of a new password and logins with both": (
        lambda p: _batch(
            p,
            "alice",
            _as("alice", "pw", "/accounts/alice", method="PUT", body=NEW),
            _as("alice", "pw", "/accounts/alice"),
            _as("alice", "new", "/accounts/alice"),
            _as("alice", "new", "/buckets/b", method="PUT"),
            _as("admin", "pw", "/accounts/alice"),
        ),
        [200, 401, 200, 201, 200],
    ),
    "a batch of a deletion, a new account and logins": (
        lambda p: _batch(
            p,
            "admin",
            {"method": "DELETE", "path": "/accounts/alice"},
            _as("alice", "pw", "/accounts/alice"),
            {"method": "PUT", "path": "/accounts/alice", "body": NEW},
            _as("alice", "new", "/accounts/alice"),
            _as("alice", "pw", "/accounts/alice"),
        ),
        [200, 401, 201, 200, 401],
    ),
    "a batch of the deletion of everybody and logins": (
        lambda p: _batch(
            p,
            "admin",
            {"method": "DELETE", "path": "/accounts"},
            _as("alice", "pw", "/accounts/alice"),
            _as("alice", "wrong", "/accounts/alice"),
            _as("nobody", "pw", "/accounts/alice"),
        ),
        [200, 401, 401, 401],
    ),
}


@pytest.mark.parametrize("remembered", [True, False], ids=["remembered logins", "a cache that forgets"])
def test_no_hash_is_made_or_compared_under_a_lock(
    people: People, monkeypatch: pytest.MonkeyPatch, remembered: bool
) -> None:
    held: list[str] = []
    run: list[str] = []
    for name in ("hashpw", "checkpw"):
        monkeypatch.setattr(bcrypt, name, _observed(getattr(bcrypt, name), name, people, held, run))

    for name, (ask, expected) in REQUESTS.items():
        people.service.flush()
        for user in ("alice", "admin"):
            people.sign_up(user)
            people(user).ask("GET", "/")
        if not remembered:
            monkeypatch.setattr(people.service.cache, "get", lambda key: None)
        run.clear()

        answer = ask(people)

        entries = answer.json.get("responses", [{"status": answer.status}])
        assert [entry["status"] for entry in entries] == expected, name
        assert held == [], name
        assert run or remembered, name


def _observed(
    function: Callable[..., Any], name: str, people: People, held: list[str], run: list[str]
) -> Callable[..., Any]:
    """Return a function of bcrypt that notes itself when it runs, and when the request holds a transaction."""

    storage: Any = people.service.storage

    def observed(*arguments: Any) -> Any:
        run.append(name)
        if storage._open_session.get() is not None:
            held.append(name)
        return function(*arguments)

    return observed
