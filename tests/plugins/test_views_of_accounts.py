"""Views in batches that change accounts: a view takes its caller for what the batch has made of the account so far."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
from flask import Blueprint, Flask, Response

from app.operation import Body, Operation
from app.service import Service
from app.transactions.perform import perform
from blueprints.authentication import authenticate_and_verify
from blueprints.http import to_response
from blueprints.replies import Reply
from blueprints.urls import prefix
from tests.plugins.conftest import ClientMaker
from tests.plugins.people import ONLY_ACCOUNTS, People
from tests.support.client import basic
from tests.test_budget import counted

SETTINGS = {
    **ONLY_ACCOUNTS,
    "kinto.experimental_permissions_endpoint": True,
    "kinto.bucket_create_principals": "system.Authenticated",
    "kinto.permissions_read_principals": "system.Authenticated",
}


def attach(app: Flask, service: Service) -> None:
    """Attach views: one changes alice's account as a plugin may, one fails."""
    blueprint = Blueprint("changes", __name__, url_prefix=prefix(service))

    def change() -> Response:
        route = service.kinds.match("/accounts/alice")
        assert route is not None
        asks = Operation("PUT", route, authenticate_and_verify(service), body=Body({"password": "pw", "n": 1}, {}))
        (outcome,) = perform(service, [asks])
        return to_response(Reply(getattr(outcome, "status", 500), "{}"))

    blueprint.add_url_rule("/change", "change", change, methods=["GET", "POST"])
    blueprint.add_url_rule("/fail", "fail", lambda: to_response(Reply(500)), methods=["POST"])
    app.register_blueprint(blueprint)


@pytest.fixture
def people(client_with: ClientMaker, monkeypatch: pytest.MonkeyPatch) -> People:
    """Return the people of a service with those views; alice, who has a bucket, and admin have accounts."""
    module = ModuleType("kinto_changes")
    module.__spec__ = ModuleSpec(module.__name__, None)
    vars(module)["attach"] = attach
    monkeypatch.setitem(sys.modules, module.__name__, module)
    settings = {**SETTINGS, "kinto.includes": f"kinto.plugins.accounts {module.__name__}"}
    made = People(client_with(settings, kept=False))
    made.sign_up("alice")
    made.sign_up("admin")
    made("alice").ask("PUT", "/buckets/b")
    return made


def of(name: str, method: str, path: str, pw: str = "pw", **data: Any) -> dict[str, Any]:
    """Return a member of somebody."""
    member: dict[str, Any] = {"method": method, "path": path, "headers": {"Authorization": basic(name, pw)}}
    return {**member, "body": {"data": data}} if data else member


def both(name: str, password: str = "pw") -> list[dict[str, Any]]:
    """Return two views that tell who somebody is."""
    return [of(name, "GET", "/", password), of(name, "GET", "/permissions", password)]


SIGN_UP = of("nobody", "PUT", "/accounts/new", password="pw") | {"headers": {}}
ALICE, NEW = "account:alice", "account:new"
CHANGES: dict[str, tuple[list[dict[str, Any]], list[str | None]]] = {
    "a sign-up": ([*both("new"), SIGN_UP, *both("new"), *both("new", "other")], [None, NEW, None]),
    "its own end": ([*both("alice"), of("alice", "DELETE", "/accounts/alice"), *both("alice")], [ALICE, None]),
    "the end of all accounts": ([of("admin", "DELETE", "/accounts"), *both("alice"), *both("admin")], [None, None]),
    "another password": (
        [of("alice", "PATCH", "/accounts/alice", password="q"), *both("alice"), *both("alice", "q")],
        [None, ALICE],
    ),
    "another account of the name": (
        [
            of("alice", "DELETE", "/accounts/alice"),
            {**SIGN_UP, "path": "/accounts/alice", "body": {"data": {"password": "q"}}},
            *both("alice"),
            *both("alice", "q"),
        ],
        [None, ALICE],
    ),
    "a change of something else": (
        [of("alice", "PATCH", "/accounts/alice", age=3), *both("alice")],
        [ALICE],
    ),
}


@pytest.mark.parametrize("remembered", [False, True], ids=["", "of those who are remembered"])
@pytest.mark.parametrize(("members", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_a_view_takes_its_caller_for_what_the_batch_has_made_of_it_after(
    people: People, members: list[dict[str, Any]], expected: list[str | None], remembered: bool
) -> None:
    """C-BATCH-21, P-ACC-27: hello and permissions."""
    if remembered:
        people.user_id("alice"), people.user_id("admin")
    else:
        people.service.cache.flush()

    answer = people.client.as_(None).batch(*members)

    assert answer.status == 200, answer.json
    views = [entry for entry in answer.json["responses"] if entry["path"] in ("/v1/", "/v1/permissions")]
    users = [entry["body"].get("user", {}).get("id") for entry in views[::2]]
    assert users == expected
    assert [entry["status"] for entry in views[1::2]] == [200 if user else 401 for user in users]


def test_nobody_is_remembered_for_what_was_undone(people: People) -> None:
    answer = people.client.as_(None).batch(SIGN_UP, *both("new"), {"method": "POST", "path": "/fail"})

    assert answer.status == 500
    assert people.user_id("new") is None


LISTS: dict[str, dict[str, Any]] = {
    "GET of a list": of("alice", "GET", "/buckets"),
    "HEAD of a list": of("alice", "HEAD", "/buckets"),
    "DELETE of a list": of("alice", "DELETE", "/buckets/b/collections"),
    "GET of an object": of("alice", "GET", "/buckets/b"),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("member", LISTS.values(), ids=LISTS.keys())
def test_a_view_may_change_the_account_of_the_members_after_it(
    people: People, method: str, member: dict[str, Any]
) -> None:
    """The login is checked as it was before: what the batch itself changes makes it no older."""
    assert people.user_id("alice") == ALICE

    answer = people.client.as_(None).batch(of("admin", method, "/change"), member, member)

    assert answer.status == 200, answer.json
    assert [entry["status"] for entry in answer.json["responses"]] == [200, 200, 200]


@pytest.mark.parametrize("password", ["pw", "q"], ids=["that is still the password", "that no longer is"])
def test_an_old_login_counts_for_nothing_after_a_view(people: People, password: str) -> None:
    """The account changed elsewhere since it was remembered; the view changes it once more."""
    assert people.user_id("alice") == ALICE
    people("admin").ask("PATCH", "/accounts/alice", {"data": {"password": password}})

    members = [of("admin", "POST", "/change"), LISTS["GET of a list"]]
    answer = people.client.as_(None).batch(*members)

    assert [entry["status"] for entry in answer.json["responses"]] == [200, 200]


def test_a_batch_with_a_view_costs_a_read_only_where_nothing_else_is_read(people: People) -> None:
    costs = []
    for member in (LISTS["GET of a list"], LISTS["GET of an object"]):
        people.user_id("alice")
        with counted(people.client) as counter:
            people.client.as_(None).batch({"method": "POST", "path": "/nowhere"}, member)
        costs.append(len(counter.statements))

    assert costs == [2, 1]
