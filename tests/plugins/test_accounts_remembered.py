"""A remembered login ends, and counts only for the account that it was checked against (DECISIONS, issue 13).

Two applications on one database stand for two workers whose caches are in memory: what one remembers, the other never
hears of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bcrypt
import pytest

from app.service import Service
from blueprints.plugins.accounts import create_user
from tests.api.conftest import on_sqlite
from tests.plugins.conftest import ClientMaker
from tests.plugins.people import ONLY_ACCOUNTS, People
from tests.support.client import basic
from tests.support.statements import without_bucket
from tests.test_budget import counted

SETTINGS = {
    **ONLY_ACCOUNTS,
    "kinto.bucket_create_principals": "system.Authenticated",
    "kinto.experimental_permissions_endpoint": True,
    "kinto.user-data_delete_principals": "system.Authenticated",
}
LIST = "/buckets/b/collections/c/records"
MINE = "/buckets/mine"


@pytest.fixture
def there(client_with: ClientMaker) -> People:
    """Return the people as another worker knows them; it starts before anybody has signed up."""
    return People(client_with({**SETTINGS, "kinto.project_name": "another worker"}))


@pytest.fixture
def here(client_with: ClientMaker, there: People) -> People:
    """Return the people as one worker knows them; alice has a bucket, and one that anybody reads."""
    people = People(client_with(SETTINGS))
    people.sign_up("alice")
    people.sign_up("admin")
    people("alice").ask("PUT", "/buckets/b", {"permissions": {"read": ["system.Everyone"]}})
    people("alice").ask("PUT", "/buckets/b/collections/c")
    people("alice").ask("PUT", f"{LIST}/r")
    people("alice").ask("PUT", MINE)
    return people


def change_password(there: People) -> None:
    """Give alice another password over HTTP."""
    assert there("alice").ask("PATCH", "/accounts/alice", {"data": {"password": "new"}}).status == 200


def change_as_administrator(there: People) -> None:
    """Give alice another password as somebody else."""
    assert there("admin").ask("PATCH", "/accounts/alice", {"data": {"password": "new"}}).status == 200


def run_command(there: People) -> None:
    """Give alice another password by `kinto create-user`."""
    create_user(there.service, "alice", "new")


def delete(there: People) -> None:
    """Delete alice."""
    assert there("alice").ask("DELETE", "/accounts/alice").status == 200


def delete_list(there: People) -> None:
    """Delete alice by the list."""
    assert there("alice").ask("DELETE", "/accounts").status == 200


def make_anew(there: People) -> None:
    """Delete alice; somebody else takes the name."""
    delete(there)
    assert there.nobody.ask("PUT", "/accounts/alice", {"data": {"password": "new"}}).status == 201


def make_anew_after_purge(there: People) -> None:
    """Delete alice, tombstone included; somebody else takes the name with the same password."""
    delete(there)
    there.service.storage.purge(["/accounts"], 0)
    assert there.nobody.ask("PUT", "/accounts/alice", {"data": {"password": "pw"}}).status == 201
    there("alice").ask("PATCH", "/accounts/alice", {"data": {"password": "new"}})


CHANGES = [
    change_password,
    change_as_administrator,
    run_command,
    delete,
    delete_list,
    make_anew,
    make_anew_after_purge,
]

Ask = Callable[[People], int]


def _ask(method: str, path: str, body: Any = None) -> Ask:
    return lambda people: people("alice").ask(method, path, body).status


def _member(method: str, path: str, body: Any = None) -> Ask:
    """Ask by a batch whose member has credentials of its own."""
    member = {"method": method, "path": path, "headers": {"Authorization": basic("alice", "pw")}}
    if body is not None:
        member["body"] = body

    def ask(people: People) -> int:
        answer = people.nobody.ask("POST", "/batch", {"requests": [member]})
        status: int = answer.json["responses"][0]["status"]
        return status

    return ask


GUARDED: dict[str, Ask] = {
    f"{kind} {method} {path}": make(method, path, body)
    for kind, make in (("single", _ask), ("member", _member))
    for method, path, body in (
        ("GET", MINE, None),
        ("HEAD", MINE, None),
        ("GET", f"{MINE}/collections", None),
        ("HEAD", f"{MINE}/collections", None),
        ("GET", "/accounts", None),
        ("PUT", MINE, {"data": {"a": 1}}),
        ("PATCH", MINE, {"data": {"a": 1}}),
        ("POST", "/buckets", {"data": {"a": 1}}),
        ("PUT", f"{MINE}/groups/g", {"data": {"members": []}}),
        ("DELETE", f"{MINE}/collections", None),
        ("DELETE", MINE, None),
        ("PATCH", "/accounts/alice", {"data": {"password": "mine again"}}),
        ("DELETE", "/accounts/alice", None),
        ("DELETE", "/accounts", None),
    )
} | {"single DELETE of user data": _ask("DELETE", "/__user_data__/account:alice")}


@on_sqlite
@pytest.mark.parametrize("ask", GUARDED.values(), ids=GUARDED.keys())
def test_an_old_login_is_refused_at_every_entrance(here: People, there: People, ask: Ask) -> None:
    """DECISIONS: refused everywhere at once, without a word from the worker that changed the account."""
    assert here.user_id("alice") == "account:alice"
    run_command(there)

    assert ask(here) == 401


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("ask", [_ask("GET", MINE), _ask("PUT", MINE, {}), _member("GET", "/accounts")])
def test_an_old_login_is_refused_whatever_ended_it(
    here: People, there: People, change: Callable[[People], None], ask: Ask
) -> None:
    assert here.user_id("alice") == "account:alice"

    change(there)

    assert ask(here) == 401


@on_sqlite
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_an_old_login_is_nobody_where_nobody_is_admitted(
    here: People, there: People, change: Callable[[People], None]
) -> None:
    """P-ACC-4: a password that is no longer right is a wrong one, and no error by itself."""
    assert here.user_id("alice") == "account:alice"

    change(there)

    assert here.user_id("alice") is None
    assert "/buckets/mine" not in [one["uri"] for one in here("alice").ask("GET", "/permissions").json["data"]]
    answer = here("alice").ask("GET", f"{LIST}/r")
    assert answer.status == 200
    assert "permissions" not in answer.json or not answer.json["permissions"]


def test_the_new_password_is_right_at_once(here: People, there: People) -> None:
    here.user_id("alice")

    change_password(there)

    assert here("alice", "new").ask("GET", MINE).status == 200


def test_a_change_of_something_else_ends_no_login(here: People, there: People, hashes: list[bytes]) -> None:
    here.user_id("alice")
    there("alice").ask("PATCH", "/accounts/alice", {"data": {"age": 3}})
    hashes.clear()

    assert here("alice").ask("GET", MINE).status == 200
    assert hashes == []


def test_a_mixed_batch_refuses_the_members_of_the_old_login_alone(here: People, there: People) -> None:
    members = [
        {"method": "PUT", "path": "/buckets/x", "headers": {"Authorization": basic(name, "pw")}}
        for name in ("alice", "admin")
    ]
    here.nobody.ask("POST", "/batch", {"requests": members})
    change_password(there)

    answer = here.nobody.ask("POST", "/batch", {"requests": members})

    assert [one["status"] for one in answer.json["responses"]] == [401, 403]


def test_a_password_that_changes_while_it_is_compared_is_refused(
    here: People, there: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race: the account changes after its hash was read, before the request reads anything else."""
    compare = bcrypt.checkpw

    def changed_meanwhile(password: bytes, known: bytes) -> bool:
        monkeypatch.setattr(bcrypt, "checkpw", compare)
        right: bool = compare(password, known)
        run_command(there)
        return right

    there.user_id("alice")
    _forget(here.service, "alice")
    monkeypatch.setattr(bcrypt, "checkpw", changed_meanwhile)

    assert here("alice").ask("PUT", MINE, {"data": {"a": 1}}).status == 401
    assert here("alice").ask("GET", MINE).status == 401


def _forget(service: Service, name: str) -> None:
    service.cache.flush()


def test_the_line_of_a_request_names_whom_it_was_answered_to(
    here: People, there: People, caplog: pytest.LogCaptureFixture
) -> None:
    here.user_id("alice")
    run_command(there)
    caplog.clear()
    caplog.set_level("INFO", "request.summary")

    here("alice").ask("GET", MINE)

    [line] = [record for record in caplog.records if record.name == "request.summary"]
    assert getattr(line, "uid", None) is None


class TestCost:
    """A remembered account costs no statement and no comparison."""

    @pytest.mark.parametrize(
        ("ask", "budget"),
        [
            pytest.param(_ask("GET", MINE), 1, id="GET of an object"),
            pytest.param(_ask("GET", f"{LIST}/nope"), 1, id="GET of an object that is not there"),
            pytest.param(_ask("GET", LIST), 1, id="GET of a list"),
            pytest.param(_ask("GET", f"{LIST}?a=1&_sort=a"), 1, id="GET with filters and a sort"),
            pytest.param(_ask("HEAD", LIST), 1, id="HEAD of a list"),
            pytest.param(_ask("GET", "/buckets"), 1, id="GET of buckets"),
            pytest.param(_ask("GET", "/accounts"), 1, id="GET of accounts"),
            pytest.param(_ask("PUT", f"{LIST}/r", {"data": {"n": 2}}), 4, id="PUT that replaces"),
            pytest.param(_ask("POST", LIST, {"data": {"n": 2}}), 5, id="POST"),
            pytest.param(_ask("DELETE", f"{LIST}/r"), 5, id="DELETE"),
            pytest.param(_ask("DELETE", LIST), 5, id="DELETE of a list"),
            pytest.param(_member("GET", MINE), 1, id="a batch that reads"),
            pytest.param(_ask("GET", "/"), 1, id="hello, which reads groups"),
            pytest.param(_member("GET", "/"), 1, id="hello in a batch"),
            pytest.param(_ask("GET", "/permissions"), 1, id="permissions"),
            pytest.param(_ask("HEAD", "/permissions?id=r"), 1, id="permissions counted"),
            pytest.param(_ask("GET", "/permissions?nope=1"), 1, id="permissions refused"),
            pytest.param(_member("GET", "/permissions"), 1, id="permissions in a batch"),
            pytest.param(_ask("DELETE", "/__user_data__/account:alice"), 17, id="user data"),
            pytest.param(_member("PUT", f"{LIST}/r", {"data": {"n": 2}}), 4, id="a batch that writes"),
        ],
    )
    def test_a_remembered_login_costs_no_statement(
        self, here: People, hashes: list[bytes], ask: Ask, budget: int
    ) -> None:
        here.user_id("alice")
        hashes.clear()

        with counted(here.client) as counter:
            ask(here)

        assert len(counter.statements) == budget, counter.statements
        assert hashes == []

    @pytest.mark.parametrize("page", ["permissions", "user data"])
    def test_a_page_whose_setting_names_a_group_reads_it_with_the_account(
        self, client_with: ClientMaker, page: str
    ) -> None:
        settings = {
            "kinto.permissions_read_principals": "/buckets/b/groups/g",
            "kinto.user-data_delete_principals": "/buckets/b/groups/g",
        }
        people = People(client_with({**SETTINGS, **settings}))
        people.sign_up("alice")
        ask = {"permissions": _ask("GET", "/permissions"), "user data": _ask("DELETE", "/__user_data__/eve")}[page]
        people.user_id("alice")

        with counted(people.client) as counter:
            assert ask(people) == 403

        assert len(counter.statements) == 1, counter.statements

    def test_every_table_is_asked_in_one_bucket(self, here: People) -> None:
        """docs/architecture.md, "Scale"."""
        here.user_id("alice")
        with counted(here.client) as counter:
            for ask in (_ask("GET", MINE), _ask("GET", LIST), _ask("PUT", f"{LIST}/r", {"data": {}})):
                ask(here)

        assert [wrong for statement in counter.statements for wrong in without_bucket(statement)] == []
