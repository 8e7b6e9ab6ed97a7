"""Accounts in a batch, and made by a command (plugins contract, 4.5; operations contract, 2.5)."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import ApiError, Forbidden, Invalid
from app.events import Context, Event, Listener
from blueprints.plugins.accounts import create_user
from tests.plugins.conftest import ClientMaker
from tests.plugins.people import ACCOUNTS, People
from tests.support.client import basic

_ANONYMOUS = {"Authorization": ""}


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
        events: list[Any] = []
        people.service.add_listener(Listener(after=lambda event: events.append(event.payload["user_id"])))

        people.nobody.ask("POST", "/batch", {"requests": [_sign_up("bob"), *_work_of("bob")[:1]]})

        assert events == [None, "account:bob"]

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


_RECORD = "/buckets/b/collections/c/records/r"
_SECRET = {"data": {"password": "of the record", "n": 1}}
_NEW = {"Authorization": basic("alice", "new")}
_SHARED = {"permissions": {"read": ["account:alice"], "write": ["account:admin"]}}
_GONE = {"method": "DELETE", "path": "/accounts/alice"}
_AGAIN = {"method": "PUT", "path": "/accounts/alice", "body": {"data": {"password": "new"}}, "headers": _ANONYMOUS}
_SAME = {"method": "PUT", "path": "/accounts/alice", "body": {"data": {"password": "pw"}}, "headers": _ANONYMOUS}
_MINE = {"method": "PUT", "path": "/buckets/mine", "body": {}}
_SHARE = {"method": "PUT", "path": "/buckets/b", "body": _SHARED, "headers": {"Authorization": basic("admin", "pw")}}
_LOOK = {"method": "GET", "path": "/buckets/b"}
_LIST = {"method": "GET", "path": "/buckets/b/collections"}

ORDERS: dict[str, tuple[list[dict[str, Any]], list[int]]] = {
    "deleted, then it writes": ([_GONE, _MINE], [200, 401]),
    "deleted by the list, then it writes": ([{**_GONE, "path": "/accounts"}, _MINE], [200, 401]),
    "deleted, then it reads": ([_LOOK, _GONE, _LOOK, _LIST], [200, 200, 401, 401]),
    "written, deleted, written": ([_MINE, _GONE, _MINE], [201, 200, 401]),
    "made again with another password": ([_GONE, _AGAIN, _LOOK, _MINE], [200, 201, 401, 401]),
    "made again with another password, which is used": (
        [_GONE, _AGAIN, {**_LOOK, "headers": _NEW}, {**_LIST, "headers": _NEW}, {**_MINE, "headers": _NEW}],
        [200, 201, 403, 403, 201],
    ),
    "made again with the same password": ([_GONE, _SAME, _LOOK, _MINE], [200, 201, 403, 201]),
    "made again, then shared": (
        [_GONE, _AGAIN, _SHARE, {**_LOOK, "headers": _NEW}, {**_LIST, "headers": _NEW}, _LOOK],
        [200, 201, 200, 200, 200, 401],
    ),
    "shared, then made again": ([_SHARE, _GONE, _AGAIN, {**_LOOK, "headers": _NEW}], [200, 200, 201, 403]),
    "deleted, shared, then made again": (
        [_GONE, _SHARE, _AGAIN, {**_LOOK, "headers": _NEW}],
        [200, 200, 201, 200],
    ),
    "deleted twice": ([_GONE, _AGAIN, {**_GONE, "headers": _NEW}, {**_MINE, "headers": _NEW}], [200, 201, 200, 401]),
    "another password, then the old one": (
        [{"method": "PATCH", "path": "/accounts/alice", "body": {"data": {"password": "new"}}}, _MINE],
        [200, 401],
    ),
    "changed elsewhere, then the same password": (
        [{"method": "PATCH", "path": "/accounts/alice", "body": {"data": {"age": 1}}}, _MINE],
        [200, 201],
    ),
}


class TestDeletionInABatch:
    """DECISIONS, deleting an account: it writes nothing any more, and the next of its name inherits nothing."""

    @pytest.mark.parametrize("known", [True, False], ids=["remembered", "not remembered"])
    @pytest.mark.parametrize(("requests", "statuses"), ORDERS.values(), ids=ORDERS.keys())
    def test_an_account_is_who_it_is_at_each_request(
        self, people: People, requests: list[dict[str, Any]], statuses: list[int], known: bool
    ) -> None:
        people("admin").ask("PUT", "/buckets/b", _SHARED)
        if known:
            assert people("alice").ask("GET", "/buckets/b").status == 200

        answer = people("alice").ask("POST", "/batch", {"requests": requests})

        assert [one["status"] for one in answer.json["responses"]] == statuses

    def test_a_deletion_by_an_administrator_ends_it_at_once(self, people: People) -> None:
        """Whoever deletes it, and under each of its credentials."""
        alice = {"Authorization": basic("alice", "pw")}
        requests = [{**_MINE, "headers": alice}, _GONE, {**_MINE, "headers": alice}, {**_LOOK, "headers": alice}]

        answer = people("admin").ask("POST", "/batch", {"requests": requests})

        assert [one["status"] for one in answer.json["responses"]] == [201, 200, 401, 401]

    def test_a_member_of_a_group_is_none_under_a_new_account(self, people: People) -> None:
        """Not in what is read one by one, not in lists, not later."""
        group = "/buckets/b/groups/g"
        people("admin").ask("PUT", "/buckets/b", {"permissions": {"read": [group]}})
        people("admin").ask("PUT", group, {"data": {"members": ["account:alice"]}})
        looks = [{**_LOOK, "headers": _NEW}, {**_LIST, "headers": _NEW}]

        answer = people("alice").ask("POST", "/batch", {"requests": [_LOOK, _LIST, _GONE, _AGAIN, *looks]})

        assert [one["status"] for one in answer.json["responses"]] == [200, 200, 200, 201, 403, 403]
        assert people("alice", "new").ask("GET", "/buckets/b").status == 403

    def test_changes_that_leave_the_password_cost_no_comparison(self, people: People, hashes: list[bytes]) -> None:
        """DECISIONS: verified once per HTTP request, not per member."""
        change = {"method": "PATCH", "path": "/accounts/alice", "body": {"data": {"age": 1}}}

        people("alice").ask("POST", "/batch", {"requests": [change, _MINE] * 5})

        assert hashes == [b"pw"]


class TestPrivateFields:
    """P-ACC-4: a field is private in its own kind alone."""

    @pytest.fixture
    def stocked(self, people: People) -> People:
        """Let alice have objects of all kinds with a field `password`, which is shared with nobody."""
        for path in ("/buckets/b", "/buckets/b/collections/c", "/buckets/b/groups/g", _RECORD):
            assert people("alice").ask("PUT", path, _SECRET).status == 201
        return people

    @pytest.mark.parametrize(
        "more",
        [
            [],
            [{"method": "PUT", "path": "/buckets/new"}],
            [{"method": "PATCH", "path": "/accounts/alice", "body": {"data": {}}}],
        ],
        ids=["reads alone", "with a write", "with a write of an account"],
    )
    def test_a_batch_shows_a_field_of_that_name_of_other_kinds(
        self, stocked: People, more: list[dict[str, Any]]
    ) -> None:
        """The same ETag must not stand for two bodies."""
        paths = ["/buckets/b", "/buckets/b/collections/c", "/buckets/b/groups/g", _RECORD]
        lists = ["/buckets", "/buckets/b/collections", "/buckets/b/groups", _RECORD.rpartition("/")[0]]
        accounts = ["/accounts/alice", "/accounts", "/accounts/alice?_fields=password", "/accounts?_fields=password"]

        for requests in ([*accounts, *paths, *lists], [*paths, *lists, *accounts]):
            members = [{"path": path} for path in requests]
            answer = stocked("alice").ask("POST", "/batch", {"requests": [*more, *members]})
            responses = dict(zip(requests, answer.json["responses"][len(more) :], strict=True))
            singles = {path: stocked("alice").ask("GET", path).json for path in requests}

            assert {path: one["body"] for path, one in responses.items()} == singles
            assert all(responses[path]["body"]["data"]["password"] == "of the record" for path in paths)
            assert all(responses[path]["body"]["data"][-1]["password"] == "of the record" for path in lists)
            assert not any("password" in str(responses[path]["body"]) for path in accounts)

    def test_details_of_a_412_hide_it_of_accounts_alone(self, stocked: People) -> None:
        """C-PRE-36."""
        stale = {"headers": {"If-Match": '"1"'}}
        members = [{"path": path, **stale} for path in ("/accounts/alice", _RECORD)]

        answer = stocked("alice").ask("POST", "/batch", {"requests": members}).json["responses"]

        assert [entry["status"] for entry in answer] == [412, 412]
        account, record = (entry["body"]["details"]["existing"] for entry in answer)
        assert ("password" in account, record["password"]) == (False, "of the record")

    def test_events_of_reads_hide_it_of_accounts_alone(self, stocked: People) -> None:
        """P-EVT-3."""
        read: dict[str, Any] = {}
        stocked.service.add_listener(
            Listener(
                after=lambda event: read.update({event.kind.name: event.read_objects[0]}),
                actions=frozenset(("read",)),
            )
        )
        members = [{"path": path} for path in ("/accounts/alice", _RECORD)]

        stocked("alice").ask("POST", "/batch", {"requests": members})

        assert "password" not in read["account"]
        assert read["record"]["password"] == "of the record"


def _sign_up(name: str) -> dict[str, Any]:
    return {"method": "PUT", "path": f"/accounts/{name}", "body": {"data": {"password": "pw"}}}


def _sign_up_anonymously(name: str) -> dict[str, Any]:
    return {**_sign_up(name), "headers": {"Authorization": ""}}


def _work_of(name: str) -> list[dict[str, Any]]:
    """Return what somebody does in a batch with the own credentials."""
    requests = [
        ("PUT", f"/buckets/{name}s"),
        ("PUT", f"/buckets/{name}s/collections/c"),
        ("PUT", f"/buckets/{name}s/collections/c/records/r"),
        ("GET", f"/accounts/{name}"),
        ("GET", f"/buckets/{name}s/collections"),
    ]
    headers = {"Authorization": basic(name, "pw")}
    return [{"method": method, "path": path, "headers": headers} for method, path in requests]


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
