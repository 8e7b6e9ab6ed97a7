"""Accounts in a batch, and made by a command (plugins contract, 4.5; operations contract, 2.5)."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import ApiError, Forbidden, Invalid
from app.events import Context, Event, Listener
from blueprints.plugins.accounts import create_user
from tests.client import basic
from tests.plugins.conftest import ClientMaker
from tests.plugins.people import ACCOUNTS, People


class TestBatch:
    """P-ACC-27."""

    def test_an_account_is_used_in_the_batch_that_makes_it(self, people: People) -> None:
        """P-ACC-27."""
        answer = people.nobody.ask("POST", "/batch", {"requests": [_sign_up("bob"), *_work_of("bob")]})

        assert [one["status"] for one in answer.json["responses"]] == [201, 201, 201, 201, 200, 200]
        assert answer.json["responses"][1]["body"]["permissions"] == {"write": ["account:bob"]}
        assert people("bob").ask("GET", "/buckets/bobs/collections/c").status == 200

    def test_an_account_is_preferred_to_basicauth_in_the_batch_that_makes_it(self, client_with: ClientMaker) -> None:
        """P-ACC-27, P-BASIC-7."""
        people = People(client_with(ACCOUNTS))

        answer = people.nobody.ask("POST", "/batch", {"requests": [_sign_up("bob"), *_work_of("bob")]})

        assert answer.json["responses"][1]["body"]["permissions"] == {"write": ["account:bob"]}

    def test_events_of_the_batch_name_the_account(self, people: People) -> None:
        """P-ACC-27, P-EVT-2."""
        told: list[Any] = []
        people.service.add_listener(Listener(after=lambda event: told.append(event.payload["user_id"])))

        people.nobody.ask("POST", "/batch", {"requests": [_sign_up("bob"), *_work_of("bob")[:1]]})

        assert told == [None, "account:bob"]

    def test_a_wrong_password_stays_wrong_in_the_batch(self, people: People) -> None:
        """P-ACC-27."""
        headers = {"Authorization": basic("bob", "wrong")}
        requests = [_sign_up("bob"), {"method": "PUT", "path": "/buckets/bobs", "headers": headers}]

        answer = people.nobody.ask("POST", "/batch", {"requests": requests})

        assert [one["status"] for one in answer.json["responses"]] == [201, 401]

    def test_a_new_password_is_good_in_the_batch_that_sets_it(self, people: People) -> None:
        """P-ACC-27."""
        requests = [
            {"method": "PATCH", "path": "/accounts/alice", "body": {"data": {"password": "new"}}},
            {
                "method": "GET",
                "path": "/accounts/alice",
                "headers": {"Authorization": basic("alice", "new")},
            },
        ]

        answer = people("alice").ask("POST", "/batch", {"requests": requests})

        assert [one["status"] for one in answer.json["responses"]] == [200, 200]

    def test_an_old_password_is_wrong_in_the_batch_that_changed_it(self, people: People) -> None:
        """P-ACC-6, P-ACC-27: who was recognised in the batch is not recognised for ever."""
        old, new = ({"Authorization": basic("bob", password)} for password in ("pw", "new"))
        change = {"method": "PATCH", "path": "/accounts/bob", "body": {"data": {"password": "new"}}, "headers": old}
        looks = [{"method": "GET", "path": "/accounts/bob", "headers": headers} for headers in (old, new)]

        answer = people.nobody.ask("POST", "/batch", {"requests": [_sign_up("bob"), looks[0], change, *looks]})

        assert [one["status"] for one in answer.json["responses"]] == [201, 200, 200, 401, 200]

    def test_what_was_read_for_others_stays_when_a_new_account_is_used(self, people: People) -> None:
        """C-BATCH-23, P-ACC-27: looking up what bob may do must not lose the documents around."""
        record = "/buckets/b/collections/c/records/r"
        people("alice").ask("PUT", "/buckets/b", {"permissions": {"read": ["account:bob"]}})
        people("alice").ask("PUT", "/buckets/b/collections/c", {"data": {"kept": True}})
        people("alice").ask("PUT", record)
        bob = {"Authorization": basic("bob", "pw")}
        reads = [
            {"method": "GET", "path": record, "headers": bob},
            {"method": "GET", "path": "/buckets/b/collections/c"},
        ]

        answer = people("alice").ask("POST", "/batch", {"requests": [_sign_up_anonymously("bob"), *reads]})

        assert [one["status"] for one in answer.json["responses"]] == [201, 200, 200]
        assert answer.json["responses"][2]["body"]["data"]["kept"] is True

    def test_one_account_in_a_batch_does_not_make_others_costly(self, people: People, hashes: list[bytes]) -> None:
        """DECISIONS: verified once per HTTP request; no lock is held for guesses."""
        guesses = [
            {"method": "GET", "path": "/accounts/alice", "headers": {"Authorization": basic("alice", f"guess{n}")}}
            for n in range(5)
        ]

        people.nobody.ask("POST", "/batch", {"requests": [_sign_up("bob"), *guesses, *_work_of("bob")]})

        assert sorted(hashes) == sorted([*(f"guess{n}".encode() for n in range(5)), b"pw"]), (
            "the hash made here needs none"
        )

    def test_a_login_is_not_remembered_when_the_batch_is_undone(self, people: People) -> None:
        """P-API-7, P-ACC-5."""

        def veto(event: Event, context: Context) -> None:
            raise Forbidden

        people.service.add_listener(Listener(before=veto, kinds=frozenset(("bucket",))))

        answer = people.nobody.ask("POST", "/batch", {"requests": [_sign_up("bob"), *_work_of("bob")]})

        assert answer.status == 403
        assert people.user_id("bob") is None


def _sign_up(name: str) -> dict[str, Any]:
    return {"method": "PUT", "path": f"/accounts/{name}", "body": {"data": {"password": "pw"}}}


def _sign_up_anonymously(name: str) -> dict[str, Any]:
    return {**_sign_up(name), "headers": {"Authorization": ""}}


def _work_of(name: str) -> list[dict[str, Any]]:
    """Return what somebody does in a batch with the own credentials."""
    asked = [
        ("PUT", f"/buckets/{name}s"),
        ("PUT", f"/buckets/{name}s/collections/c"),
        ("PUT", f"/buckets/{name}s/collections/c/records/r"),
        ("GET", f"/accounts/{name}"),
        ("GET", f"/buckets/{name}s/collections"),
    ]
    headers = {"Authorization": basic(name, "pw")}
    return [{"method": method, "path": path, "headers": headers} for method, path in asked]


class TestCommand:
    """What `kinto create-user` does (operations contract, 2.5)."""

    def test_a_user_is_created(self, people: People) -> None:
        """O-CLI-22."""
        create_user(people.service, "bob", "secret")

        answer = people("bob", "secret").ask("GET", "/accounts/bob")
        assert answer.status == 200
        assert answer.json["permissions"] == {"write": ["account:bob"]}

    def test_a_user_who_is_there_gets_a_password_and_keeps_the_rest(self, people: People) -> None:
        """O-CLI-25."""
        people("alice").ask("PATCH", "/accounts/alice", {"permissions": {"read": ["account:bob"]}})
        etag = people("alice").ask("GET", "/accounts/alice").etag

        create_user(people.service, "alice", "secret")

        assert people.user_id("alice") is None
        answer = people("alice", "secret").ask("GET", "/accounts/alice")
        assert answer.data == {"id": "alice", "age": 42, "last_modified": answer.etag}
        assert answer.json["permissions"] == {"read": ["account:bob"], "write": ["account:alice"]}
        assert answer.etag > etag

    def test_a_user_who_was_deleted_is_created_anew(self, people: People) -> None:
        """O-CLI-22."""
        people("alice").ask("DELETE", "/accounts/alice")

        create_user(people.service, "alice", "secret")

        assert people("alice", "secret").ask("GET", "/accounts/alice").data.keys() == {"id", "last_modified"}
        assert people("admin").ask("HEAD", "/accounts").headers["Total-Objects"] == "2"

    @pytest.mark.parametrize(("name", "password"), [("-a", "pw"), ("bob", ""), ("bob", "x" * 73)])
    def test_a_user_is_not_created_when_name_or_password_cannot_be(
        self, people: People, name: str, password: str
    ) -> None:
        """P-ACC-8, P-ACC-10."""
        with pytest.raises(Invalid) as refused:
            create_user(people.service, name, password)

        assert isinstance(refused.value, ApiError)
