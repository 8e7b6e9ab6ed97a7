"""Accounts over HTTP, on SQLite and PostgreSQL, with cheap hashes (plugins contract, 4.5)."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Forbidden
from app.events import Context, Event, Listener
from backends import Json
from tests.api.conftest import on_sqlite
from tests.plugins.conftest import ClientMaker
from tests.plugins.people import ACCOUNTS, BASIC_REALM, ONLY_ACCOUNTS, People


class TestNobody:
    """P-ACC-9 to P-ACC-12, P-ACC-22."""

    @on_sqlite
    def test_anybody_creates_an_account_by_post(self, people: People) -> None:
        """P-ACC-9."""
        answer = people.nobody.ask("POST", "/accounts", {"data": {"id": "bob", "password": "pw", "age": 42}})

        timestamp = answer.etag
        assert answer.status == 201
        assert answer.json == {
            "permissions": {"write": ["account:bob"]},
            "data": {"id": "bob", "age": 42, "last_modified": timestamp},
        }

    def test_anybody_creates_an_account_by_put(self, people: People) -> None:
        """P-ACC-9."""
        answer = people.nobody.ask("PUT", "/accounts/bob", {"data": {"password": "pw"}})

        assert answer.status == 201
        assert answer.json["permissions"] == {"write": ["account:bob"]}

    @on_sqlite
    @pytest.mark.parametrize("body", [None, {}, {"data": {}}, {"data": {"password": "pw"}}], ids=str)
    def test_creation_is_refused_without_an_id(self, people: People, body: Any) -> None:
        """P-ACC-10."""
        answer = people.nobody.ask("POST", "/accounts", body)

        assert answer.status == 400
        assert answer.json["message"] == "data.id in body: Required"
        assert answer.json["details"] == [
            {"location": "body", "name": "data.id", "description": "data.id in body: Required"}
        ]

    @on_sqlite
    def test_a_list_as_body_is_refused(self, people: People) -> None:
        """PD-4."""
        assert people.nobody.ask("POST", "/accounts", []).status == 400

    @on_sqlite
    @pytest.mark.parametrize("account_id", [12, "", "-a", "a b", "é", "a\n", "x" * 256], ids=repr)
    def test_creation_is_refused_when_the_id_cannot_be_a_name(self, people: People, account_id: Any) -> None:
        """P-ACC-10, PD-6."""
        answer = people.nobody.ask("POST", "/accounts", {"data": {"id": account_id, "password": "pw"}})

        assert (answer.status, answer.json["message"]) == (400, "path: Invalid object id")

    @on_sqlite
    @pytest.mark.parametrize("path", ["/accounts/-a", "/accounts/a%0A", "/accounts/a%20b"])
    def test_a_url_that_cannot_be_of_an_account_is_refused(self, people: People, path: str) -> None:
        """P-ACC-10, PD-6."""
        assert people.nobody.ask("PUT", path, {"data": {"password": "pw"}}).status == 400

    @on_sqlite
    @pytest.mark.parametrize("account_id", ["bob@example.com", "bob+news@x.org", "B.o-b_1", "1"])
    def test_an_address_of_email_is_a_name(self, people: People, account_id: str) -> None:
        """P-ACC-10."""
        assert people.nobody.ask("POST", "/accounts", {"data": {"id": account_id, "password": "pw"}}).status == 201
        assert people.user_id(account_id) == f"account:{account_id}"

    @on_sqlite
    def test_the_ids_of_url_and_body_must_agree(self, people: People) -> None:
        """P-ACC-10."""
        answer = people.nobody.ask("PUT", "/accounts/al", {"data": {"id": "bo", "password": "pw"}})

        assert answer.status == 400
        assert answer.json["details"] == [
            {"location": "body", "name": "id", "description": "Object id does not match existing object"}
        ]

    @on_sqlite
    @pytest.mark.parametrize(("method", "path"), [("POST", "/accounts"), ("PUT", "/accounts/alice")])
    def test_an_account_that_is_there_is_not_created(self, people: People, method: str, path: str) -> None:
        """P-ACC-11."""
        body = {"data": {"id": "alice", "password": "new"}}

        assert people.nobody.ask(method, path, body).status == 401
        assert people.user_id("alice") == "account:alice"

    @on_sqlite
    def test_a_412_says_nothing_of_an_account(self, people: People) -> None:
        """P-ACC-11, PD-2."""
        body = {"data": {"password": "new"}}

        answer = people.nobody.ask("PUT", "/accounts/alice", body, If_None_Match="*")

        assert (answer.status, answer.json.get("details")) == (412, None)

    @pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
    def test_the_list_is_closed(self, people: People, method: str) -> None:
        """P-ACC-12."""
        answer = people.nobody.ask(method, "/accounts")

        assert answer.status == 401
        assert method == "HEAD" or answer.json["errno"] == 104
        assert answer.headers["WWW-Authenticate"] == BASIC_REALM

    @on_sqlite
    @pytest.mark.parametrize("permissions", [{}, {"read": ["system.Everyone"]}], ids=["private", "shared with all"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_an_account_is_not_read(self, people: People, permissions: Any, method: str) -> None:
        """Plugins contract, 4.5."""
        people("alice").ask("PATCH", "/accounts/alice", {"permissions": permissions})

        assert people.nobody.ask(method, "/accounts/alice").status == 401

    @on_sqlite
    @pytest.mark.parametrize("path", ["/accounts/alice", "/accounts/unknown"])
    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_an_account_is_hidden_whether_it_is_there_or_not(self, people: People, method: str, path: str) -> None:
        """Plugins contract, 4.5."""
        body: Json = {"data": {}} if method == "PATCH" else None

        assert people.nobody.ask(method, path, body).status == 401

    @on_sqlite
    @pytest.mark.parametrize("http_request", [("POST", "/accounts"), ("PUT", "/accounts/bob"), ("GET", "/accounts")])
    def test_nobody_may_do_anything_when_creation_is_not_allowed(
        self, client_with: ClientMaker, http_request: tuple[str, str]
    ) -> None:
        """P-ACC-22."""
        people = People(client_with({**ONLY_ACCOUNTS, "kinto.account_create_principals": ""}))
        body = None if http_request[0] == "GET" else {"data": {"id": "bob", "password": "pw"}}

        assert people.nobody.ask(*http_request, body).status == 401

    @on_sqlite
    def test_a_wrong_password_does_not_hinder_creation(self, people: People) -> None:
        """P-ACC-4."""
        answer = people("alice", "wrong").ask("POST", "/accounts", {"data": {"id": "bob", "password": "pw"}})

        assert answer.status == 201


class TestOwner:
    """P-ACC-13 to P-ACC-17."""

    def test_an_owner_reads_the_account(self, people: People) -> None:
        """P-ACC-13."""
        answer = people("alice").ask("GET", "/accounts/alice")

        assert answer.status == 200
        assert answer.json["permissions"] == {"write": ["account:alice"]}
        assert answer.data == {"id": "alice", "age": 42, "last_modified": answer.etag}

    def test_an_owner_lists_the_own_account_only(self, people: People) -> None:
        """P-ACC-13."""
        people("admin").ask("PATCH", "/accounts/admin", {"permissions": {"read": ["account:alice"]}})

        answer = people("alice").ask("GET", "/accounts")

        assert [one["id"] for one in answer.data] == ["alice"]

    @pytest.mark.parametrize(
        ("query", "ids"), [("age=42", ["alice"]), ("age=1", []), ("_limit=1", ["alice"]), ("_sort=-age", ["alice"])]
    )
    def test_an_owner_filters_the_list(self, people: People, query: str, ids: list[str]) -> None:
        """P-ACC-13."""
        answer = people("alice").ask("GET", f"/accounts?{query}")

        assert [one["id"] for one in answer.data] == ids

    def test_an_owner_counts_one(self, people: People) -> None:
        """P-ACC-13."""
        answer = people("alice").ask("HEAD", "/accounts")

        assert (answer.status, answer.headers["Total-Objects"]) == (200, "1")

    def test_an_owner_replaces_the_account(self, people: People) -> None:
        """P-ACC-13."""
        answer = people("alice").ask("PUT", "/accounts/alice", {"data": {"password": "pw", "email": "a@x"}})

        assert answer.status == 200
        assert answer.data == {"id": "alice", "email": "a@x", "last_modified": answer.etag}

    @on_sqlite
    def test_an_owner_needs_the_password_to_replace_the_account(self, people: People) -> None:
        """P-ACC-13."""
        answer = people("alice").ask("PUT", "/accounts/alice", {"data": {"email": "a@x"}})

        assert (answer.status, answer.json["message"]) == (400, "data.password in body: Required")

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    def test_an_owner_shares_the_account_and_stays_its_writer(self, people: People, method: str) -> None:
        """P-ACC-13."""
        shared = {"read": ["account:bob"], "write": ["account:carol"]}

        answer = people("alice").ask(method, "/accounts/alice", {"data": {"password": "pw"}, "permissions": shared})

        assert answer.status == 200
        assert answer.json["permissions"] == {
            "read": ["account:bob"],
            "write": ["account:alice", "account:carol"],
        }

    def test_an_owner_gets_the_account_by_creating_it_again(self, people: People) -> None:
        """P-ACC-15."""
        body = {"data": {"id": "alice", "password": "new"}}

        answer = people("alice").ask("POST", "/accounts", body)

        assert (answer.status, answer.data["age"]) == (200, 42)
        assert people.user_id("alice", "new") is None

    @on_sqlite
    @pytest.mark.parametrize("body", [None, {}, {"data": {}}, {"data": {"password": "pw"}}], ids=str)
    @pytest.mark.parametrize("name", ["alice", "admin"], ids=["a user", "an administrator"])
    @pytest.mark.parametrize("batched", [False, True], ids=["alone", "in a batch"])
    def test_nobody_creates_an_account_without_a_name(
        self, people: People, name: str, body: Any, batched: bool
    ) -> None:
        """P-ACC-10: whoever asks."""
        if batched:
            member = {"method": "POST", "path": "/accounts", **({"body": body} if body is not None else {})}
            answer = people(name).ask("POST", "/batch", {"requests": [member]}).json["responses"][0]
            status, message = answer["status"], answer["body"]["message"]
        else:
            single = people(name).ask("POST", "/accounts", body)
            status, message = single.status, single.json["message"]

        assert (status, message) == (400, "data.id in body: Required")

    def test_an_owner_deletes_the_account(self, people: People) -> None:
        """P-ACC-13."""
        answer = people("alice").ask("DELETE", "/accounts/alice")

        assert answer.status == 200
        assert answer.data == {"id": "alice", "last_modified": answer.etag, "deleted": True}

    def test_an_owner_deletes_the_own_account_by_the_list(self, people: People) -> None:
        """P-ACC-13."""
        answer = people("alice").ask("DELETE", "/accounts")

        assert [one["id"] for one in answer.data] == ["alice"]
        assert people.user_id("admin") == "account:admin"

    def test_the_name_of_a_deleted_account_is_free(self, people: People) -> None:
        """P-ACC-13."""
        people("alice").ask("DELETE", "/accounts/alice")

        answer = people.nobody.ask("PUT", "/accounts/alice", {"data": {"password": "other"}})

        assert answer.status == 201
        assert people.user_id("alice", "other") == "account:alice"

    @on_sqlite
    @pytest.mark.parametrize("path", ["/accounts/bob", "/accounts/admin"], ids=["new", "of somebody"])
    def test_a_user_does_not_put_another_account(self, people: People, path: str) -> None:
        """P-ACC-16."""
        answer = people("alice").ask("PUT", path, {"data": {"password": "pw"}})

        assert answer.status == 400
        assert answer.json["message"] == "data.id in body: Username and account ID do not match."

    @on_sqlite
    @pytest.mark.parametrize("account_id", ["bob", "admin"], ids=["new", "of somebody"])
    def test_a_user_does_not_post_another_account(self, people: People, account_id: str) -> None:
        """P-ACC-16."""
        answer = people("alice").ask("POST", "/accounts", {"data": {"id": account_id, "password": "pw"}})

        assert answer.status == 400
        assert answer.json["message"] == "data.id in body: Username and account ID do not match."

    @on_sqlite
    @pytest.mark.parametrize("path", ["/accounts/admin", "/accounts/unknown"])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
    def test_a_user_may_not_touch_another_account(self, people: People, method: str, path: str) -> None:
        """P-ACC-16."""
        body: Json = {"data": {}} if method == "PATCH" else None

        assert people("alice").ask(method, path, body).status == 403

    @on_sqlite
    @pytest.mark.parametrize("permission", ["read", "write"])
    def test_a_shared_account_is_not_found(self, people: People, permission: str) -> None:
        """P-ACC-17."""
        people("admin").ask("PATCH", "/accounts/admin", {"permissions": {permission: ["account:alice"]}})

        answer = people("alice").ask("GET", "/accounts/admin")

        assert (answer.status, answer.json["errno"]) == (404, 110)
        assert answer.json["details"] == {"id": "admin", "resource_name": "account"}

    @on_sqlite
    def test_a_fresh_copy_is_not_sent_again(self, people: People) -> None:
        """Plugins contract, 4.5: preconditions work as everywhere."""
        etag = people("alice").ask("GET", "/accounts/alice").headers["ETag"]

        assert people("alice").ask("GET", "/accounts/alice", If_None_Match=etag).status == 304

    @on_sqlite
    def test_a_stale_change_is_refused(self, people: People) -> None:
        """Plugins contract, 4.5: preconditions work as everywhere."""
        answer = people("alice").ask("PATCH", "/accounts/alice", {"data": {"a": 1}}, If_Match='"1"')

        assert answer.status == 412


class TestDeletion:
    """DECISIONS: a later account of that name inherits nothing."""

    def test_what_was_granted_is_withdrawn(self, people: People) -> None:
        """DECISIONS, deleting an account."""
        people("admin").ask("PUT", "/buckets/b", {"permissions": {"read": ["account:alice"]}})
        assert people("alice").ask("GET", "/buckets/b").status == 200

        people("alice").ask("DELETE", "/accounts/alice")
        people.sign_up("alice")

        assert people("alice").ask("GET", "/buckets/b").status == 403
        assert people("alice").ask("GET", "/accounts/alice").status == 200

    def test_memberships_end(self, people: People) -> None:
        """DECISIONS, deleting an account."""
        people("admin").ask("PUT", "/buckets/b", {"permissions": {"read": ["/buckets/b/groups/g"]}})
        people("admin").ask("PUT", "/buckets/b/groups/g", {"data": {"members": ["account:alice"]}})
        assert people("alice").ask("GET", "/buckets/b").status == 200

        people("admin").ask("DELETE", "/accounts/alice")
        people.sign_up("alice")

        assert people("alice").ask("GET", "/buckets/b").status == 403

    def test_an_account_made_again_in_the_same_batch_is_its_users(self, people: People) -> None:
        """DECISIONS, deleting an account: what is granted afterwards stays."""
        people("admin").ask("PUT", "/buckets/b", {"permissions": {"read": ["account:alice"]}})
        requests = [
            {"method": "DELETE", "path": "/accounts/alice"},
            {"method": "PUT", "path": "/accounts/alice", "body": {"data": {"password": "new"}}},
        ]

        answer = people("admin").ask("POST", "/batch", {"requests": requests})

        assert [one["status"] for one in answer.json["responses"]] == [200, 201]
        assert people("alice", "new").ask("GET", "/accounts/alice").status == 200
        assert people("alice", "new").ask("GET", "/buckets/b").status == 403

    def test_nothing_is_withdrawn_when_the_deletion_is_undone(self, people: People) -> None:
        """P-API-7."""
        people("admin").ask("PUT", "/buckets/b", {"permissions": {"read": ["account:alice"]}})

        def veto(event: Event, context: Context) -> None:
            raise Forbidden

        people.service.add_listener(Listener(before=veto, kinds=frozenset(("account",))))

        assert people("alice").ask("DELETE", "/accounts/alice").status == 403
        assert people("alice").ask("GET", "/buckets/b").status == 200


class TestAdministrator:
    """P-ACC-18 to P-ACC-21."""

    @pytest.mark.parametrize("http_request", [("PUT", "/accounts/bob"), ("POST", "/accounts")])
    def test_an_administrator_creates_an_account_for_its_user(
        self, people: People, http_request: tuple[str, str]
    ) -> None:
        """P-ACC-18, P-ACC-21."""
        answer = people("admin").ask(*http_request, {"data": {"id": "bob", "password": "pw"}})

        assert answer.status == 201
        assert answer.json["permissions"] == {"write": ["account:bob"]}
        assert people("bob").ask("GET", "/accounts/bob").status == 200

    def test_an_administrator_gets_an_account_by_creating_it_again(self, people: People) -> None:
        """P-ACC-18."""
        answer = people("admin").ask("POST", "/accounts", {"data": {"id": "alice", "password": "new"}})

        assert (answer.status, answer.data["age"]) == (200, 42)
        assert people.user_id("alice", "new") is None

    def test_an_administrator_reads_an_account_with_its_permissions(self, people: People) -> None:
        """P-ACC-18."""
        answer = people("admin").ask("GET", "/accounts/alice")

        assert (answer.status, answer.data["age"]) == (200, 42)
        assert answer.json["permissions"] == {"write": ["account:alice"]}

    def test_an_administrator_replaces_an_account(self, people: People) -> None:
        """P-ACC-18."""
        answer = people("admin").ask("PUT", "/accounts/alice", {"data": {"password": "new"}})

        assert answer.status == 200
        assert answer.json["permissions"] == {"write": ["account:alice"]}
        assert people.user_id("alice", "new") == "account:alice"

    def test_an_administrator_deletes_an_account(self, people: People) -> None:
        """P-ACC-18."""
        assert people("admin").ask("DELETE", "/accounts/alice").status == 200
        assert people.user_id("alice") is None

    @on_sqlite
    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_an_administrator_is_told_that_an_account_is_unknown(self, people: People, method: str) -> None:
        """P-ACC-18."""
        body: Json = {"data": {}} if method == "PATCH" else None

        answer = people("admin").ask(method, "/accounts/unknown", body)

        assert (answer.status, answer.json["errno"]) == (404, 110)

    @on_sqlite
    def test_an_administrator_cannot_rename_an_account(self, people: People) -> None:
        """P-ACC-18."""
        answer = people("admin").ask("PUT", "/accounts/alice", {"data": {"id": "bob", "password": "pw"}})

        assert (answer.status, answer.json["message"]) == (400, "Object id does not match existing object")

    def test_an_administrator_may_be_member_of_a_group(self, client_with: ClientMaker) -> None:
        """P-ACC-19."""
        group = "/buckets/ops/groups/admins"
        people = People(client_with({**ONLY_ACCOUNTS, "kinto.account_write_principals": f"account:admin {group}"}))
        for name in ("admin", "alice", "bob"):
            people.sign_up(name)
        people("admin").ask("PUT", "/buckets/ops")
        people("admin").ask("PUT", group, {"data": {"members": ["account:alice"]}})

        assert people("alice").ask("PATCH", "/accounts/bob", {"data": {"a": 1}}).status == 200
        assert people("alice").ask("PUT", "/accounts/new", {"data": {"password": "pw"}}).status == 201
        assert len(people("alice").ask("GET", "/accounts").data) == 4
        assert people("bob").ask("GET", "/accounts/alice").status == 403

    @pytest.mark.parametrize("readers", ["", "account:admin"], ids=["only writer", "reader too"])
    def test_an_administrator_lists_and_counts_all(self, client_with: ClientMaker, readers: str) -> None:
        """P-ACC-20, DECISIONS: also without `account_read_principals`."""
        people = People(client_with({**ONLY_ACCOUNTS, "kinto.account_read_principals": readers}))
        people.sign_up("alice")
        people.sign_up("admin")

        assert {one["id"] for one in people("admin").ask("GET", "/accounts").data} == {"alice", "admin"}
        assert people("admin").ask("HEAD", "/accounts").headers["Total-Objects"] == "2"

    def test_an_administrator_deletes_what_matches(self, people: People) -> None:
        """P-ACC-20."""
        answer = people("admin").ask("DELETE", "/accounts?age=42")

        assert [one["id"] for one in answer.data] == ["alice"]

    def test_an_administrator_deletes_all(self, people: People) -> None:
        """P-ACC-20."""
        answer = people("admin").ask("DELETE", "/accounts")

        assert {one["id"] for one in answer.data} == {"alice", "admin"}
        assert (people.user_id("alice"), people.user_id("admin")) == (None, None)


@on_sqlite
class TestBasicauth:
    """P-ACC-23."""

    @pytest.fixture
    def fallback(self, client_with: ClientMaker) -> People:
        """Return the people of a service where basicauth comes after accounts."""
        people = People(client_with(ACCOUNTS))
        people.sign_up("alice")
        return people

    def test_a_user_without_account_has_an_empty_list(self, fallback: People) -> None:
        """P-ACC-23."""
        answer = fallback("eve").ask("GET", "/accounts")

        assert (answer.status, answer.data) == (200, [])

    def test_a_user_without_account_may_not_read_accounts(self, fallback: People) -> None:
        """P-ACC-23."""
        assert fallback("eve").ask("GET", "/accounts/alice").status == 403
        assert fallback("eve").ask("GET", "/accounts/eve").status == 403

    def test_a_user_without_account_cannot_create_one(self, fallback: People) -> None:
        """P-ACC-23."""
        answer = fallback("eve").ask("PUT", "/accounts/eve", {"data": {"password": "pw"}})

        assert answer.status == 400
        assert answer.json["message"] == "data.id in body: Username and account ID do not match."

    def test_both_policies_ask_to_authenticate(self, fallback: People) -> None:
        """P-BASIC-5."""
        answer = fallback.nobody.ask("GET", "/accounts")

        assert answer.challenges == [BASIC_REALM, BASIC_REALM]


class TestPermissionsEndpoint:
    """P-ACC-24."""

    @pytest.fixture
    def listed(self, client_with: ClientMaker) -> People:
        """Return the people of a service that tells them what they may do; alice has an account."""
        people = People(client_with({**ONLY_ACCOUNTS, "kinto.experimental_permissions_endpoint": "true"}))
        people.sign_up("alice")
        return people

    def test_a_user_finds_the_own_account(self, listed: People) -> None:
        """P-ACC-24."""
        entries = listed("alice").ask("GET", "/permissions?resource_name=account").data

        assert [{**entry, "permissions": sorted(entry["permissions"])} for entry in entries] == [
            {
                "uri": "/accounts/alice",
                "resource_name": "account",
                "permissions": ["read", "write"],
                "id": "alice",
                "account_id": "alice",
            }
        ]

    @pytest.mark.parametrize("known", [False, True], ids=["nobody in particular", "a user"])
    def test_an_entry_of_the_root_says_who_may_create_accounts(self, listed: People, known: bool) -> None:
        """P-ACC-24."""
        asker = listed("alice") if known else listed.nobody

        entries = asker.ask("GET", "/permissions?resource_name=root").data

        assert [(entry["uri"], "account:create" in entry["permissions"]) for entry in entries] == [("/", True)]


@on_sqlite
def test_writes_are_refused_when_the_service_is_read_only(client_with: ClientMaker) -> None:
    """Plugins contract, 4.5."""
    people = People(client_with({**ONLY_ACCOUNTS, "kinto.readonly": True}))

    assert people.nobody.ask("PUT", "/accounts/bob", {"data": {"password": "pw"}}).status == 405


@on_sqlite
def test_methods_are_those_of_every_kind(people: People) -> None:
    """Plugins contract, 4.5."""
    assert people.nobody.ask("PUT", "/accounts").headers["Allow"] == "GET, HEAD, POST, DELETE, OPTIONS"
    assert people.nobody.ask("POST", "/accounts/x").headers["Allow"] == "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
