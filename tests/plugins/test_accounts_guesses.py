"""What passwords cost: hashes are made for admitted writes alone, and guesses are counted (DECISIONS, issue 13)."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Any

import bcrypt
import pytest

from backends import BackendError
from tests.api.conftest import on_sqlite
from tests.plugins.conftest import ClientMaker
from tests.plugins.people import ACCOUNTS, ONLY_ACCOUNTS, People
from tests.support.client import Answer, basic

FEW = {**ONLY_ACCOUNTS, "kinto.account_login_failures_per_account": 3, "kinto.account_login_failures_per_address": 5}
JSON_PATCH = "application/json-patch+json"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that grows with each hash that is made."""
    hashed: list[bytes] = []
    make = bcrypt.hashpw

    def counted(password: bytes, salt: bytes) -> bytes:
        hashed.append(password)
        return make(password, salt)

    monkeypatch.setattr(bcrypt, "hashpw", counted)
    return hashed


def _batch(people: People, *members: dict[str, Any], name: str | None = None, **defaults: Any) -> list[Any]:
    who = people(name) if name else people.nobody
    answer = who.ask("POST", "/batch", {"requests": list(members), "defaults": defaults})
    assert answer.status == 200, answer.body
    responses: list[Any] = answer.json["responses"]
    return responses


class TestHashing:
    """A hash takes a quarter of a second: nobody gets one made who is refused, and none is made under a lock."""

    @on_sqlite
    @pytest.mark.parametrize(
        ("method", "path", "headers", "status"),
        [
            pytest.param("POST", "/accounts", {}, 401, id="POST of an account that exists"),
            pytest.param("PUT", "/accounts/alice", {}, 401, id="PUT of an account that exists"),
            pytest.param("PATCH", "/accounts/alice", {}, 401, id="PATCH of an account"),
            pytest.param("PATCH", "/accounts/unknown", {}, 401, id="PATCH of an unknown account"),
            pytest.param("PUT", "/accounts/alice", {"If-None-Match": "*"}, 412, id="PUT of what must not exist"),
            pytest.param("PUT", "/accounts/al", {}, 400, id="PUT of another name"),
            pytest.param("PUT", "/accounts/-", {}, 400, id="PUT of what is no name"),
            pytest.param("PUT", "/accounts/new", {"If-Match": '"1"'}, 412, id="PUT of what must exist"),
            pytest.param("PUT", "/accounts/alice", {"Accept": "text/html"}, 406, id="PUT that takes no JSON"),
        ],
    )
    @pytest.mark.parametrize("count", [1, 25], ids=["once", "25 times"])
    def test_nobody_gets_a_hash_who_is_refused(
        self,
        people: People,
        made: list[bytes],
        method: str,
        path: str,
        headers: dict[str, str],
        status: int,
        count: int,
    ) -> None:
        body = {"data": {"password": "guess"} if path == "/accounts/new" else {"id": "alice", "password": "guess"}}
        if method == "PATCH":
            body = {"data": {"password": "guess"}}
        made.clear()

        answers = _batch(people, *({} for _ in range(count)), method=method, path=path, body=body, headers=headers)

        assert {one["status"] for one in answers} == {status}
        assert made == []

    @on_sqlite
    def test_nobody_gets_a_hash_of_an_account_of_others(self, people: People, made: list[bytes]) -> None:
        body = {"data": {"password": "guess"}}
        made.clear()

        answers = _batch(people, {}, {"method": "PATCH"}, name="alice", method="PUT", path="/accounts/admin", body=body)

        assert [one["status"] for one in answers] == [400, 403]
        assert made == []

    @on_sqlite
    def test_sign_up_that_is_closed_costs_no_hash(self, client_with: ClientMaker, made: list[bytes]) -> None:
        people = People(client_with({**ONLY_ACCOUNTS, "kinto.account_create_principals": ""}))

        answer = people.nobody.ask("PUT", "/accounts/bob", {"data": {"password": "pw"}})

        assert (answer.status, made) == (401, [])

    @on_sqlite
    def test_one_password_of_one_account_is_hashed_once_a_request(self, people: People, made: list[bytes]) -> None:
        body = {"data": {"password": "new"}}
        made.clear()

        answers = _batch(
            people, *({} for _ in range(25)), name="admin", method="PATCH", path="/accounts/alice", body=body
        )

        assert {one["status"] for one in answers} == {200}
        assert made == [b"new"]
        assert people.user_id("alice", "new") == "account:alice"

    def test_each_account_of_a_batch_has_a_hash_of_its_own(self, people: People) -> None:
        body = {"data": {"password": "same"}}

        answers = _batch(people, {"path": "/accounts/bob"}, {"path": "/accounts/carol"}, method="PUT", body=body)

        assert [one["status"] for one in answers] == [201, 201]
        assert people.stored_hash("bob") != people.stored_hash("carol")
        assert (people.user_id("bob", "same"), people.user_id("carol", "same")) == ("account:bob", "account:carol")

    @pytest.mark.parametrize(
        ("method", "kind", "body"),
        [
            ("PUT", "application/json", {"data": {"password": "new"}}),
            ("PATCH", "application/json", {"data": {"password": "new"}}),
            ("PATCH", "application/merge-patch+json", {"data": {"password": "new"}}),
            ("PATCH", JSON_PATCH, [{"op": "replace", "path": "/data/password", "value": "new"}]),
        ],
        ids=["PUT", "patch", "merge patch", "JSON Patch"],
    )
    @pytest.mark.parametrize("batched", [False, True], ids=["alone", "in a batch"])
    def test_no_lock_is_held_while_a_password_is_hashed(
        self, people: People, monkeypatch: pytest.MonkeyPatch, method: str, kind: str, body: Any, batched: bool
    ) -> None:
        locks = _watch_transactions(people, monkeypatch)
        people.user_id("alice")
        path, headers = "/accounts/alice", {"Content-Type": kind}

        if batched:
            member = {"method": method, "path": path, "body": body, "headers": headers}
            status = _batch(people, member, name="alice")[0]["status"]
        else:
            status = people("alice").ask(method, path, body, **headers).status

        assert status == 200
        assert locks == [("hash", False)]
        assert people.user_id("alice", "new") == "account:alice"

    def test_no_lock_is_held_while_passwords_are_compared(
        self, people: People, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """P-ACC-27: also of an account that the very batch makes; guesses at it cost nothing."""
        locks = _watch_transactions(people, monkeypatch)
        members = [{"method": "PUT", "path": "/accounts/bob", "body": {"data": {"password": "pw"}}}] + [
            {"path": "/accounts/bob", "headers": {"Authorization": basic("bob", password)}}
            for password in ("wrong", "worse", "pw", "pw")
        ]

        answers = _batch(people, *members)

        assert [one["status"] for one in answers] == [201, 401, 401, 200, 200]
        assert {held for _, held in locks} == {False}

    @pytest.mark.parametrize("path", ["/", "/permissions"], ids=str)
    def test_no_lock_is_held_while_a_view_of_a_batch_compares(
        self, client_with: ClientMaker, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        people = People(client_with({**ONLY_ACCOUNTS, "kinto.experimental_permissions_endpoint": True}))
        people.sign_up("alice")
        locks = _watch_transactions(people, monkeypatch)
        write = {"method": "PUT", "path": "/accounts/bob", "body": {"data": {"password": "pw"}}}
        guesses = [{"path": path, "headers": {"Authorization": basic("alice", f"guess{n}")}} for n in range(3)]

        answers = _batch(people, write, *guesses)

        assert answers[0]["status"] == 201
        assert sorted(locks) == [("comparison", False)] * 3 + [("hash", False)]


def _watch_transactions(people: People, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Return a list that grows with each hash that is made or compared, and whether a transaction was open."""
    storage, depths, depth = people.service.storage, [], [0]
    opened, make, compare = storage.transaction, bcrypt.hashpw, bcrypt.checkpw

    @contextmanager
    def transaction(derived: Any = ()) -> Any:
        with opened(derived) as each:
            depth[0] += 1
            try:
                yield each
            finally:
                depth[0] -= 1

    def hashpw(password: bytes, salt: bytes) -> bytes:
        depths.append(("hash", depth[0] > 0))
        return make(password, salt)

    def checkpw(password: bytes, known: bytes) -> bool:
        right = compare(password, known)
        depths.append(("comparison", depth[0] > 0))
        return right

    people.user_id("alice")
    monkeypatch.setattr(storage, "transaction", transaction)
    monkeypatch.setattr(bcrypt, "hashpw", hashpw)
    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    return depths


def _guess(people: People, name: str, count: int, address: str = "192.0.2.1", password: str = "wrong") -> list[Answer]:
    return [_from(people, address, name, f"{password}{number}") for number in range(count)]


def _from(people: People, address: str, name: str, password: str, path: str = "/accounts/alice", **more: str) -> Answer:
    headers = {"Authorization": basic(name, password), **{key.replace("_", "-"): value for key, value in more.items()}}
    response = people.client.app.test_client().get(
        f"/v1{path}", headers=headers, environ_overrides={"REMOTE_ADDR": address}
    )
    return Answer(response.status_code, response.headers, response.get_data())


@on_sqlite
class TestGuesses:
    """Wrong passwords are counted per address and account; too many are 429, and nothing is compared any more."""

    @pytest.mark.parametrize("name", ["alice", "unknown"])
    def test_the_guess_after_too_many_is_429(self, client_with: ClientMaker, hashes: list[bytes], name: str) -> None:
        """An unknown name is answered as a known one: nobody finds out which names there are."""
        people = People(client_with(FEW))
        people.sign_up("alice")

        answers = _guess(people, name, 5)

        assert [one.status for one in answers] == [401, 401, 401, 429, 429]
        assert answers[-1].json["errno"] == 117
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 301
        assert len(hashes) == 3

    def test_the_right_password_is_not_told_from_a_wrong_one_when_it_is_too_late(
        self, client_with: ClientMaker
    ) -> None:
        people = People(client_with(FEW))
        people.sign_up("alice")
        _guess(people, "alice", 3)

        assert _from(people, "192.0.2.1", "alice", "pw").status == 429
        assert _from(people, "192.0.2.2", "alice", "pw").status == 200, "from elsewhere it is right"

    def test_a_remembered_login_goes_on(self, client_with: ClientMaker) -> None:
        people = People(client_with(FEW))
        people.sign_up("alice")
        _from(people, "192.0.2.1", "alice", "pw")

        _guess(people, "alice", 4)

        assert _from(people, "192.0.2.1", "alice", "pw").status == 200

    def test_one_address_has_so_many_guesses_at_all_accounts(
        self, client_with: ClientMaker, hashes: list[bytes]
    ) -> None:
        people = People(client_with(FEW))

        answers = [_guess(people, f"name{number}", 1)[0].status for number in range(7)]

        assert answers == [401] * 5 + [429] * 2
        assert len(hashes) == 5
        assert _guess(people, "name6", 1, address="192.0.2.2")[0].status == 401

    @pytest.mark.parametrize("path", ["/accounts/alice", "/", "/accounts", "/buckets/b"], ids=str)
    @pytest.mark.parametrize("names", [["alice"], ["alice", "a", "b", "c", "d", "e", "f"]], ids=["one", "many"])
    def test_the_members_of_a_batch_are_guesses_too(
        self, client_with: ClientMaker, hashes: list[bytes], path: str, names: list[str]
    ) -> None:
        people = People(client_with(FEW))
        people.sign_up("alice")
        members = [
            {"path": path, "headers": {"Authorization": basic(names[number % len(names)], f"wrong{number}")}}
            for number in range(25)
        ]

        answers = _batch(people, *members)

        most = 3 if len(names) == 1 else 5
        assert len(hashes) == most
        assert [one["status"] for one in answers].count(429) == 25 - most
        assert all("Retry-After" in one["headers"] for one in answers if one["status"] == 429)

    @pytest.mark.parametrize("path", ["/accounts/alice", "/", "/permissions"], ids=str)
    @pytest.mark.parametrize("name", ["alice", "unknown"])
    def test_the_same_credentials_are_compared_once_a_request(
        self, client_with: ClientMaker, hashes: list[bytes], path: str, name: str
    ) -> None:
        people = People(client_with({**ONLY_ACCOUNTS, "kinto.experimental_permissions_endpoint": True}))
        people.sign_up("alice")

        _batch(people, *({} for _ in range(25)), path=path, headers={"Authorization": basic(name, "wrong")})

        assert hashes == [b"wrong"]

    @pytest.mark.parametrize(
        "off",
        [
            {"kinto.account_login_failures_window_seconds": 0},
            {"kinto.account_login_failures_per_account": 0, "kinto.account_login_failures_per_address": 0},
        ],
        ids=["by the window", "by the numbers"],
    )
    def test_nothing_is_counted_when_it_is_off(self, client_with: ClientMaker, off: dict[str, Any]) -> None:
        people = People(client_with({**FEW, **off}))

        assert {one.status for one in _guess(people, "alice", 8)} == {401}

    def test_it_is_on_by_default_with_generous_numbers(self, client_with: ClientMaker) -> None:
        people = People(client_with(ONLY_ACCOUNTS))
        people.sign_up("alice")

        assert [one.status for one in _guess(people, "alice", 21)] == [401] * 20 + [429]

    def test_the_window_ends(self, client_with: ClientMaker, monkeypatch: pytest.MonkeyPatch) -> None:
        people = People(client_with(FEW))
        people.sign_up("alice")
        wait = int(_guess(people, "alice", 4)[-1].headers["Retry-After"])
        later = time.time() + wait

        monkeypatch.setattr(time, "time", lambda: later)

        assert _from(people, "192.0.2.1", "alice", "pw").status == 200

    def test_users_of_the_next_policy_are_no_guesses(self, client_with: ClientMaker) -> None:
        """Basic authentication has no wrong passwords."""
        people = People(client_with({**FEW, "multiauth.policies": ACCOUNTS["multiauth.policies"]}))

        assert {one.status for one in _guess(people, "somebody", 8, password="always the same")} == {403}

    def test_guesses_at_an_account_are_counted_before_the_next_policy(self, client_with: ClientMaker) -> None:
        people = People(client_with({**FEW, "multiauth.policies": ACCOUNTS["multiauth.policies"]}))
        people.sign_up("alice")

        assert [one.status for one in _guess(people, "alice", 4)] == [403, 403, 403, 429]

    def test_a_cache_that_is_down_lets_logins_go_on(
        self, client_with: ClientMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        people = People(client_with(FEW))
        people.sign_up("alice")

        def fail(*_: Any) -> Any:
            raise BackendError("down")

        for name in ("get", "set", "delete"):
            monkeypatch.setattr(people.service.cache, name, fail)

        assert {one.status for one in _guess(people, "alice", 5)} == {401}
        assert _from(people, "192.0.2.1", "alice", "pw").status == 200
        assert "Unable to count a failed login" in caplog.text

    @pytest.mark.parametrize(
        ("proxies", "statuses"), [(0, [401] * 3 + [429]), (1, [401] * 4)], ids=["not believed", "believed"]
    )
    def test_the_address_of_the_client_is_the_one_that_trusted_proxies_tell(
        self, client_with: ClientMaker, proxies: int, statuses: list[int]
    ) -> None:
        people = People(client_with({**FEW, "kinto.trusted_proxies": proxies}))

        answers = [
            _from(people, "127.0.0.1", "alice", f"wrong{number}", X_Forwarded_For=f"1.1.1.1, 192.0.2.{number}")
            for number in range(4)
        ]

        assert [one.status for one in answers] == statuses

    def test_no_key_shows_an_address_or_a_name(self, client_with: ClientMaker) -> None:
        people = People(client_with({**FEW, "kinto.userid_hmac_secret": "s3cr3t"}))
        cache: Any = people.service.cache

        _guess(people, "alice", 1)

        assert cache._entries
        assert not [key for key in cache._entries if "alice" in key or "192.0.2" in key]
