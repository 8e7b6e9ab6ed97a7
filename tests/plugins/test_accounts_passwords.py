"""Passwords of accounts: how they are set and kept, and that nobody sees them (plugins contract, 4.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bcrypt
import pytest
from sqlalchemy import select

from app.events import Event, Listener
from backends.storage.tables import documents
from tests.api.conftest import on_sqlite
from tests.plugins.conftest import ClientMaker
from tests.plugins.people import ONLY_ACCOUNTS, People, User
from tests.support.client import Answer


@on_sqlite
class TestPasswords:
    """P-ACC-7, P-ACC-8, P-ACC-14."""

    def test_a_password_is_stored_as_a_hash_of_the_cost_that_is_set(self, people: People) -> None:
        """P-ACC-7."""
        secret = people.stored_hash("alice")

        assert secret.startswith("$2b$04$")
        assert bcrypt.checkpw(b"pw", secret.encode())

    def test_the_cost_is_12_when_nothing_is_said(self, client_with: ClientMaker) -> None:
        """P-ACC-7."""
        people = People(client_with({name: ONLY_ACCOUNTS[name] for name in ONLY_ACCOUNTS if "rounds" not in name}))

        people.sign_up("alice")

        assert people.stored_hash("alice").startswith("$2b$12$")

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    @pytest.mark.parametrize(
        ("data", "description"),
        [
            pytest.param({}, "Required", id="missing"),
            pytest.param({"password": ""}, "Required", id="empty"),
            pytest.param({"password": None}, "Required", id="null"),
            pytest.param({"password": 12}, "12 is not a string: {'password': ''}", id="a number"),
            pytest.param({"password": "x" * 73}, "Longer than 72 bytes", id="73 bytes"),
            pytest.param({"password": "é" * 37}, "Longer than 72 bytes", id="74 bytes in 37 characters"),
        ],
    )
    def test_creation_is_refused_when_the_password_is(
        self, people: People, method: str, data: dict[str, Any], description: str
    ) -> None:
        """P-ACC-7, P-ACC-8."""
        path = "/accounts" if method == "POST" else "/accounts/bob"

        answer = people.nobody.ask(method, path, {"data": {"id": "bob", **data}})

        assert answer.status == 400
        assert answer.json["message"] == f"data.password in body: {description}"
        assert answer.json["details"] == [{"location": "body", "name": "data.password", "description": description}]

    def test_a_password_that_looks_like_a_hash_is_hashed(self, people: People) -> None:
        """DECISIONS: a PUT of `$2b$...` hashes that text."""
        secret = people.stored_hash("alice")

        people("alice").ask("PUT", "/accounts/alice", {"data": {"password": secret}})

        assert people.user_id("alice") is None
        assert people.user_id("alice", secret) == "account:alice"

    def test_a_patch_without_password_keeps_it(self, people: People) -> None:
        """P-ACC-14."""
        before = people.stored_hash("alice")

        answer = people("alice").ask("PATCH", "/accounts/alice", {"data": {"age": 43}})

        assert (answer.status, answer.data["age"]) == (200, 43)
        assert people.stored_hash("alice") == before

    def test_a_touch_keeps_the_password_and_all_else(self, people: People) -> None:
        """C-OBJ-16."""
        before = people.stored_hash("alice")

        answer = people("alice").ask("PUT", "/accounts/alice")

        assert (answer.status, answer.data["age"]) == (200, 42)
        assert people.stored_hash("alice") == before

    def test_a_patch_with_a_password_replaces_it(self, people: People) -> None:
        """P-ACC-14."""
        answer = people("alice").ask("PATCH", "/accounts/alice", {"data": {"password": "new"}})

        assert answer.status == 200
        assert people.user_id("alice", "new") == "account:alice"

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            pytest.param("application/json", {"data": {"password": None}}, id="a plain null"),
            pytest.param("application/merge-patch+json", {"data": {"password": None}}, id="a merged null"),
            pytest.param("application/json-patch+json", [{"op": "remove", "path": "/data/password"}], id="removal"),
        ],
    )
    def test_a_patch_cannot_take_the_password_away_by(self, people: People, kind: str, body: Any) -> None:
        """P-ACC-14."""
        answer = people("alice").ask("PATCH", "/accounts/alice", body, Content_Type=kind)

        assert (answer.status, answer.json["message"]) == (400, "password in body: Required")

    @pytest.mark.parametrize("op", ["replace", "add"])
    def test_a_json_patch_hashes_the_password(self, people: People, op: str) -> None:
        """P-ACC-14, PD-1."""
        answer = _json_patch(people, {"op": op, "path": "/data/password", "value": "new"})

        assert answer.status == 200
        assert people.stored_hash("alice").startswith("$2b$")
        assert people.user_id("alice", "new") == "account:alice"

    def test_a_json_patch_of_something_else_keeps_the_password(self, people: People) -> None:
        """P-ACC-14."""
        before = people.stored_hash("alice")

        answer = _json_patch(people, {"op": "replace", "path": "/data/age", "value": 1})

        assert answer.status == 200
        assert people.stored_hash("alice") == before

    @pytest.mark.parametrize("op", ["copy", "move"])
    def test_a_json_patch_cannot_show_the_hash_by(self, people: People, op: str) -> None:
        """DECISIONS: the hash is never shown."""
        operations = [{"op": op, "from": "/data/password", "path": "/data/note"}]
        operations += [{"op": "add", "path": "/data/password", "value": "new"}]

        answer = _json_patch(people, *operations)

        assert (answer.status, answer.data["note"]) == (200, "***")


def _json_patch(people: People, *operations: Any) -> Answer:
    kind = "application/json-patch+json"
    return people("alice").ask("PATCH", "/accounts/alice", list(operations), Content_Type=kind)


class TestHash:
    """DECISIONS: the bcrypt hash is never shown."""

    @on_sqlite
    @pytest.mark.parametrize(
        "send",
        [
            pytest.param(lambda me: me.ask("GET", "/accounts/alice"), id="GET"),
            pytest.param(lambda me: me.ask("GET", "/accounts/alice?_fields=password"), id="GET of the field"),
            pytest.param(lambda me: me.ask("GET", "/accounts"), id="GET of the list"),
            pytest.param(lambda me: me.ask("GET", "/accounts?_fields=password"), id="GET of the field in the list"),
            pytest.param(lambda me: me.ask("POST", "/accounts", {"data": {"id": "alice", "password": "x"}}), id="POST"),
            pytest.param(lambda me: me.ask("PUT", "/accounts/alice", {"data": {"password": "pw"}}), id="PUT"),
            pytest.param(
                lambda me: me.ask(
                    "PATCH", "/accounts/alice", {"data": {"password": "x", "a": 1}}, Response_Behavior="light"
                ),
                id="light PATCH",
            ),
            pytest.param(
                lambda me: me.ask(
                    "PATCH", "/accounts/alice", {"data": {"password": "x", "a": 1}}, Response_Behavior="diff"
                ),
                id="diff PATCH",
            ),
            pytest.param(lambda me: me.ask("DELETE", "/accounts"), id="DELETE of the list"),
        ],
    )
    def test_the_hash_is_not_in_the_answer_to(self, people: People, send: Callable[[User], Answer]) -> None:
        """DECISIONS: never shown, to the owner neither."""
        answer = send(people("alice"))

        assert answer.status == 200
        assert b"password" not in answer.body
        assert b"$2b$" not in answer.body

    @on_sqlite
    def test_the_hash_is_not_in_the_details_of_a_412(self, people: People) -> None:
        """P-ACC-11."""
        body = {"data": {"password": "pw"}}

        answer = people("alice").ask("PUT", "/accounts/alice", body, If_None_Match="*")

        assert answer.status == 412
        assert answer.json["details"]["existing"]["age"] == 42
        assert b"password" not in answer.body

    @pytest.mark.parametrize("path", ["/accounts/alice", "/accounts"], ids=["the account", "the list"])
    def test_no_row_holds_the_hash_any_more_when_its_user_deletes(self, people: People, path: str) -> None:
        """P-ACC-6: an account is stored under two keys (docs/architecture.md, "The directory")."""
        storage: Any = people.service.storage
        secret = people.stored_hash("alice")

        people("alice").ask("DELETE", path)

        with storage.reading.connect() as connection:
            rows = connection.execute(select(documents.c.data)).scalars()
            assert [row for row in rows if secret in str(row)] == []

    @on_sqlite
    def test_the_hash_is_not_in_events(self, people: People) -> None:
        """Plugins contract, 4.5: removed from what listeners get."""
        events: list[Event] = []
        actions = frozenset(("create", "update", "delete", "read"))
        people.service.add_listener(Listener(after=events.append, actions=actions))

        people("alice").ask("PATCH", "/accounts/alice", {"data": {"age": 43}})
        people("alice").ask("GET", "/accounts")
        people("alice").ask("DELETE", "/accounts/alice")

        assert [(event.kind.name, event.action) for event in events] == [
            ("account", "update"),
            ("account", "read"),
            ("account", "delete"),
        ]
        assert "password" not in str([event.impacted_objects for event in events])

    @pytest.mark.parametrize(
        "query", ["password=x", "min_password=a", "like_password=$2b", "_sort=password", "_sort=-password"]
    )
    def test_a_list_is_not_filtered_or_sorted_by_password(self, people: People, query: str) -> None:
        """P-ACC-26."""
        assert people("admin").ask("GET", f"/accounts?{query}").status == 400
