"""Accounts over HTTP, on SQLite and PostgreSQL, with cheap hashes (plugins contract, 4)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import bcrypt
import pytest

from app import passwords
from app.errors import ApiError, Forbidden, Invalid
from app.events import Context, Event, Listener
from app.factory import create_app
from app.service import Service
from app.settings import SettingError
from backends import BackendError
from backends.storage import Change, Move, Stored, Wanted
from blueprints.plugins.accounts import create_user
from tests.client import Answer, Client, basic
from tests.plugins.conftest import ClientMaker

POLICY = "kinto.plugins.accounts.AccountsPolicy"
ACCOUNTS: Mapping[str, Any] = {
    "kinto.includes": "kinto.plugins.accounts",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": POLICY,
    "kinto.account_create_principals": "system.Everyone",
    "kinto.account_write_principals": "account:admin",
    "kinto.account_bcrypt_rounds": 4,
}
ONLY_ACCOUNTS = {**ACCOUNTS, "multiauth.policies": "account"}
BASIC_REALM = 'Basic realm="Realm"'


class User:
    """Somebody who asks with a name and a password of their own, None for nobody."""

    def __init__(self, client: Client, name: str | None, password: str = "pw") -> None:
        self._client = client
        self._sent = {} if name is None else {"Authorization": basic(name, password)}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.as_(None).ask(method, path, body, {**self._sent, **named})


class People:
    """The people of a test: `alice` and `admin` have accounts, `bob` and others may get one."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.service: Service = client.app.extensions["kinto"]
        self.nobody = User(client, None)

    def __call__(self, name: str, password: str = "pw") -> User:
        """Return somebody with a password."""
        return User(self.client, name, password)

    def sign_up(self, name: str, **data: Any) -> Answer:
        """Make an account with the password `pw`."""
        answer = self.nobody.ask("PUT", f"/accounts/{name}", {"data": {"password": "pw", **data}})
        assert answer.status == 201, answer.body
        return answer

    def stored_hash(self, name: str) -> str:
        """Return what is stored as the password of an account."""
        uri = f"/accounts/{name}"
        secret: str = self.service.storage.read(Wanted("/accounts", (uri,))).objects[uri].data()["password"]
        return secret

    def user_id(self, name: str, password: str = "pw") -> str | None:
        """Return who the service takes somebody for."""
        seen = self(name, password).ask("GET", "/").json
        return seen["user"]["id"] if "user" in seen else None


@pytest.fixture
def people(client_with: ClientMaker) -> People:
    """Return the people of a service with accounts alone; alice and admin have one."""
    made = People(client_with(ONLY_ACCOUNTS))
    made.sign_up("alice", age=42)
    made.sign_up("admin")
    return made


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Count the comparisons with a hash."""
    compared: list[bytes] = []
    compare = bcrypt.checkpw

    def counted(given: bytes, known: bytes) -> bool:
        right = compare(given, known)  # raises where there is nothing to compare with
        compared.append(given)
        return right

    monkeypatch.setattr(passwords.bcrypt, "checkpw", counted)
    return compared


class TestStart:
    """P-ACC-1, P-ACC-2, P-ACC-28."""

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            pytest.param(
                {"multiauth.policy.account.use": "kinto.core.authentication.BasicAuthAuthenticationPolicy"},
                "Account policy missing the 'multiauth.policy.*.use' setting. See AccountsPolicy in docs "
                "https://kinto.readthedocs.io/en/stable/api/1.x/accounts.html.",
                id="no policy is the one of accounts",
            ),
            pytest.param(
                {"multiauth.policies": "basicauth account"},
                "'basicauth' should not be mentioned before 'account' in 'multiauth.policies' setting.",
                id="basicauth comes first",
            ),
            pytest.param(
                {"kinto.account_create_principals": "system.Everyone account:admin account:boss"},
                "Affected users: ['account:boss']",
                id="somebody creates who may not write",
            ),
        ],
    )
    def test_start_is_refused_when_settings_make_no_sense(self, settings: dict[str, str], message: str) -> None:
        """P-ACC-1."""
        with pytest.raises(SettingError) as refused:
            create_app({**ACCOUNTS, **settings})

        assert str(refused.value).endswith(message)

    def test_creators_who_may_not_write_are_told_of_in_kintos_words(self) -> None:
        """P-ACC-1."""
        with pytest.raises(SettingError) as refused:
            create_app({**ACCOUNTS, "kinto.account_create_principals": "account:boss"})

        begin = "Configuration has some principals in account_create_principals but not in account_write_principals."
        assert refused.value.expected.startswith(begin)

    def test_loss_of_accounts_is_warned_of_when_storage_is_memory(self, capsys: pytest.CaptureFixture[str]) -> None:
        """P-ACC-2."""
        app = create_app(ACCOUNTS)

        assert "Accounts are lost at each start" in capsys.readouterr().err
        app.extensions["kinto"].close()

    def test_a_policy_that_is_not_listed_is_warned_of(self, caplog: pytest.LogCaptureFixture) -> None:
        """Plugins contract, 4.1."""
        app = create_app({**ACCOUNTS, "multiauth.policies": "basicauth"})

        assert "nobody can log in with an account" in caplog.text
        app.extensions["kinto"].close()

    def test_the_capability_says_that_addresses_are_not_validated(self, people: People) -> None:
        """P-ACC-28, P-API-4."""
        seen = people.nobody.ask("GET", "/").json["capabilities"]["accounts"]

        assert seen == {
            "description": "Manage user accounts.",
            "url": "https://kinto.readthedocs.io/en/latest/api/1.x/accounts.html",
            "validation_enabled": False,
        }

    @pytest.mark.parametrize("path", ["/accounts/alice/validate/k", "/accounts/alice/reset-password"])
    def test_the_urls_of_validation_are_unknown(self, people: People, path: str) -> None:
        """P-ACC-28."""
        answer = people.nobody.ask("POST", path)

        assert (answer.status, answer.json["errno"]) == (404, 111)

    def test_accounts_are_unknown_without_the_plugin(self, client: Client) -> None:
        """P-API-2."""
        assert client.get("/accounts").status == 404
        assert "accounts" not in client.get("/").json["capabilities"]


class TestLogin:
    """P-ACC-3 to P-ACC-6, P-ACC-8, P-ACC-29."""

    def test_a_name_and_its_password_are_the_account(self, people: People) -> None:
        """P-ACC-3."""
        user = people("alice").ask("GET", "/").json["user"]

        assert user["id"] == "account:alice"
        assert set(user["principals"]) == {"account:alice", "system.Everyone", "system.Authenticated"}

    def test_the_user_id_begins_with_account_whatever_the_policy_is_called(self, client_with: ClientMaker) -> None:
        """P-ACC-3."""
        names = {"multiauth.policies": "pw", "multiauth.policy.pw.use": POLICY}
        people = People(client_with({**ACCOUNTS, **names}))

        people.sign_up("alice")

        assert people.user_id("alice") == "account:alice"

    @pytest.mark.parametrize("password", ["a:b:c", "pässwört", "x" * 72, " "], ids=["colons", "UTF-8", "72", "blank"])
    def test_any_password_logs_in(self, people: People, password: str) -> None:
        """P-ACC-3."""
        people.nobody.ask("PUT", "/accounts/bob", {"data": {"password": password}})

        assert people.user_id("bob", password) == "account:bob"

    @pytest.mark.parametrize(
        ("name", "password"),
        [
            pytest.param("alice", "wrong", id="the password is wrong"),
            pytest.param("nobody", "pw", id="the name is unknown"),
            pytest.param("Alice", "pw", id="the case differs"),
            pytest.param("../alice", "pw", id="the name cannot be one"),
            pytest.param("alice\n", "pw", id="the name ends with a line break"),
            pytest.param("alice", "x" * 73, id="the password is longer than any"),
            pytest.param("alice", "p\0w", id="the password holds NUL"),
        ],
    )
    def test_somebody_is_anonymous_when(self, people: People, name: str, password: str) -> None:
        """P-ACC-4, P-ACC-8."""
        assert people(name, password).ask("GET", "/").status == 200
        assert people.user_id(name, password) is None

    def test_a_wrong_password_is_asked_for_again_where_it_matters(self, people: People) -> None:
        """P-ACC-4, P-BASIC-5."""
        answer = people("alice", "wrong").ask("GET", "/accounts/alice")

        assert (answer.status, answer.json["errno"]) == (401, 104)
        assert answer.headers["WWW-Authenticate"] == BASIC_REALM

    def test_a_wrong_password_goes_to_the_next_policy(self, client_with: ClientMaker) -> None:
        """P-ACC-4, P-BASIC-7."""
        people = People(client_with(ACCOUNTS))
        people.sign_up("alice")

        assert people.user_id("alice") == "account:alice"
        assert str(people.user_id("alice", "wrong")).startswith("basicauth:")

    def test_a_login_is_remembered_under_the_documented_key(self, client_with: ClientMaker) -> None:
        """P-ACC-5, with the vector of 4.2."""
        people = People(client_with({**ONLY_ACCOUNTS, "kinto.userid_hmac_secret": "s3cr3t"}))
        people.sign_up("bob")
        key = "4df4a8d70858cd33f2b863fd2206dee02ea870f60d2dde7ca661f0f69b7974eb"

        people.user_id("bob")

        value = "2c554d77e2fcacbda9e5d7836bfc7abb5a0b7bc8b4ac5aa33886b2967ca3aba1"
        assert people.service.cache.get(key) == value
        assert 28 < people.service.cache.ttl(key) <= 30

    def test_a_remembered_login_is_renewed_when_it_is_used(self, client_with: ClientMaker) -> None:
        """P-ACC-5."""
        people = People(client_with({**ONLY_ACCOUNTS, "kinto.userid_hmac_secret": "s3cr3t"}))
        people.sign_up("bob")
        people.user_id("bob")
        key = "4df4a8d70858cd33f2b863fd2206dee02ea870f60d2dde7ca661f0f69b7974eb"
        people.service.cache.expire(key, 5)

        people.user_id("bob")

        assert people.service.cache.ttl(key) > 28

    def test_a_hash_is_compared_once_while_the_login_is_remembered(self, people: People, hashes: list[bytes]) -> None:
        """P-ACC-5."""
        for _ in range(3):
            assert people.user_id("alice") == "account:alice"

        assert hashes == [b"pw"]

    def test_a_wrong_password_is_compared_each_time(self, people: People, hashes: list[bytes]) -> None:
        """Plugins contract, 4.2: only successes are remembered."""
        people.user_id("alice")
        hashes.clear()

        people.user_id("alice", "wrong")
        people.user_id("alice", "wrong")

        assert hashes == [b"wrong", b"wrong"]

    def test_an_unknown_name_costs_a_comparison_too(self, people: People, hashes: list[bytes]) -> None:
        """Plugins contract, 4.3: nobody finds out by the time which names there are."""
        people.user_id("nobody")

        assert hashes == [b"pw"]

    def test_a_login_works_when_the_cache_is_down(
        self, client_with: ClientMaker, caplog: pytest.LogCaptureFixture
    ) -> None:
        """DECISIONS: a login that cannot be remembered is checked, with a warning in the log."""
        down = {"kinto.cache_backend": "redis", "kinto.cache_url": "redis://127.0.0.1:1/0"}
        people = People(client_with({**ONLY_ACCOUNTS, **down}))
        people.sign_up("alice")

        assert people.user_id("alice") == "account:alice"
        assert "A login cannot be remembered" in caplog.text

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda me: me.ask("PUT", "/accounts/alice", {"data": {"password": "new"}}), id="PUT"),
            pytest.param(lambda me: me.ask("PATCH", "/accounts/alice", {"data": {"password": "new"}}), id="PATCH"),
            pytest.param(lambda me: me.ask("DELETE", "/accounts/alice"), id="DELETE"),
            pytest.param(lambda me: me.ask("DELETE", "/accounts"), id="DELETE of the list"),
        ],
    )
    def test_the_old_login_ends_at_once_after(self, people: People, change: Callable[[User], Answer]) -> None:
        """P-ACC-6."""
        assert people.user_id("alice") == "account:alice"

        assert change(people("alice")).status == 200

        assert people.user_id("alice") is None

    def test_the_old_login_ends_when_an_administrator_changes_the_password(self, people: People) -> None:
        """P-ACC-6."""
        people.user_id("alice")

        answer = people("admin").ask("PATCH", "/accounts/alice", {"data": {"password": "new"}})

        assert answer.status == 200
        assert (people.user_id("alice"), people.user_id("alice", "new")) == (None, "account:alice")

    @pytest.mark.parametrize(
        "text", ["pw", "", "$2b$04$short", "$2b$aa$" + "." * 53], ids=["clear", "empty", "cut", "odd"]
    )
    def test_what_is_stored_and_no_hash_never_logs_in(self, people: People, text: str) -> None:
        """P-ACC-29."""
        _overwrite(people.service, "alice", f'{{"id":"alice","last_modified":1,"password":"{text}"}}')

        assert people.user_id("alice") is None
        assert people.user_id("alice", text or "x") is None

    @pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
    def test_hashes_of_other_bcrypts_log_in(self, people: People, prefix: str) -> None:
        """P-ACC-29, operations contract, 3.3."""
        secret = prefix + people.stored_hash("alice")[4:]
        _overwrite(people.service, "alice", f'{{"id":"alice","last_modified":1,"password":"{secret}"}}')

        assert people.user_id("alice") == "account:alice"

    def test_a_long_password_of_old_is_compared_by_its_beginning(self, people: People) -> None:
        """P-ACC-8, PD-3: older bcrypt cut it without a word."""
        people.nobody.ask("PUT", "/accounts/bob", {"data": {"password": "x" * 72}})

        assert people.user_id("bob", "x" * 100) == "account:bob"


def _overwrite(service: Service, name: str, text: str) -> None:
    """Write a document behind the service's back."""
    uri = f"/accounts/{name}"
    with service.storage.transaction() as transaction:
        transaction.lock(("/accounts",))
        transaction.write([Change(Stored(uri, 1, False, 1, text), 1)], [Move("/accounts", 1)])


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

    @pytest.mark.parametrize(
        "asked",
        [
            pytest.param(lambda me: me.ask("GET", "/accounts/alice"), id="GET"),
            pytest.param(lambda me: me.ask("GET", "/accounts/alice?_fields=password"), id="GET of the field"),
            pytest.param(lambda me: me.ask("GET", "/accounts"), id="GET of the list"),
            pytest.param(lambda me: me.ask("GET", "/accounts?_fields=password"), id="GET of the field in the list"),
            pytest.param(lambda me: me.ask("POST", "/accounts", {"data": {"id": "alice"}}), id="POST"),
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
    def test_the_hash_is_not_in_the_answer_to(self, people: People, asked: Callable[[User], Answer]) -> None:
        """DECISIONS: never shown, to the owner neither."""
        answer = asked(people("alice"))

        assert answer.status == 200
        assert b"password" not in answer.body
        assert b"$2b$" not in answer.body

    def test_the_hash_is_not_in_the_details_of_a_412(self, people: People) -> None:
        """P-ACC-11."""
        body = {"data": {"password": "pw"}}

        answer = people("alice").ask("PUT", "/accounts/alice", body, If_None_Match="*")

        assert answer.status == 412
        assert answer.json["details"]["existing"]["age"] == 42
        assert b"password" not in answer.body

    def test_the_hash_is_not_in_events(self, people: People) -> None:
        """Plugins contract, 4.5: removed from what listeners get."""
        told: list[Event] = []
        actions = frozenset(("create", "update", "delete", "read"))
        people.service.add_listener(Listener(after=told.append, actions=actions))

        people("alice").ask("PATCH", "/accounts/alice", {"data": {"age": 43}})
        people("alice").ask("GET", "/accounts")
        people("alice").ask("DELETE", "/accounts/alice")

        assert [(event.kind.name, event.action) for event in told] == [
            ("account", "update"),
            ("account", "read"),
            ("account", "delete"),
        ]
        assert "password" not in str([event.impacted_objects for event in told])

    @pytest.mark.parametrize(
        "query", ["password=x", "min_password=a", "like_password=$2b", "_sort=password", "_sort=-password"]
    )
    def test_a_list_is_not_filtered_or_sorted_by_password(self, people: People, query: str) -> None:
        """P-ACC-26."""
        assert people("admin").ask("GET", f"/accounts?{query}").status == 400


class TestNobody:
    """P-ACC-9 to P-ACC-12, P-ACC-22."""

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

    @pytest.mark.parametrize("body", [None, {}, {"data": {}}, {"data": {"password": "pw"}}], ids=str)
    def test_creation_is_refused_without_an_id(self, people: People, body: Any) -> None:
        """P-ACC-10."""
        answer = people.nobody.ask("POST", "/accounts", body)

        assert answer.status == 400
        assert answer.json["message"] == "data.id in body: Required"
        assert answer.json["details"] == [
            {"location": "body", "name": "data.id", "description": "data.id in body: Required"}
        ]

    def test_a_list_as_body_is_refused(self, people: People) -> None:
        """PD-4."""
        assert people.nobody.ask("POST", "/accounts", []).status == 400

    @pytest.mark.parametrize("id", [12, "", "-a", "a b", "é", "a\n", "x" * 256], ids=repr)
    def test_creation_is_refused_when_the_id_cannot_be_a_name(self, people: People, id: Any) -> None:
        """P-ACC-10, PD-6."""
        answer = people.nobody.ask("POST", "/accounts", {"data": {"id": id, "password": "pw"}})

        assert (answer.status, answer.json["message"]) == (400, "path: Invalid object id")

    @pytest.mark.parametrize("path", ["/accounts/-a", "/accounts/a%0A", "/accounts/a%20b"])
    def test_a_url_that_cannot_be_of_an_account_is_refused(self, people: People, path: str) -> None:
        """P-ACC-10, PD-6."""
        assert people.nobody.ask("PUT", path, {"data": {"password": "pw"}}).status == 400

    @pytest.mark.parametrize("id", ["bob@example.com", "bob+news@x.org", "B.o-b_1", "1"])
    def test_an_address_of_email_is_a_name(self, people: People, id: str) -> None:
        """P-ACC-10."""
        assert people.nobody.ask("POST", "/accounts", {"data": {"id": id, "password": "pw"}}).status == 201
        assert people.user_id(id) == f"account:{id}"

    def test_the_ids_of_url_and_body_must_agree(self, people: People) -> None:
        """P-ACC-10."""
        answer = people.nobody.ask("PUT", "/accounts/al", {"data": {"id": "bo", "password": "pw"}})

        assert answer.status == 400
        assert answer.json["details"] == [
            {"location": "body", "name": "id", "description": "Object id does not match existing object"}
        ]

    @pytest.mark.parametrize(("method", "path"), [("POST", "/accounts"), ("PUT", "/accounts/alice")])
    def test_an_account_that_is_there_is_not_created(self, people: People, method: str, path: str) -> None:
        """P-ACC-11."""
        body = {"data": {"id": "alice", "password": "new"}}

        assert people.nobody.ask(method, path, body).status == 401
        assert people.user_id("alice") == "account:alice"

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

    @pytest.mark.parametrize("permissions", [{}, {"read": ["system.Everyone"]}], ids=["private", "shared with all"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_an_account_is_not_read(self, people: People, permissions: Any, method: str) -> None:
        """Plugins contract, 4.5."""
        people("alice").ask("PATCH", "/accounts/alice", {"permissions": permissions})

        assert people.nobody.ask(method, "/accounts/alice").status == 401

    @pytest.mark.parametrize("path", ["/accounts/alice", "/accounts/unknown"])
    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_an_account_is_hidden_whether_it_is_there_or_not(self, people: People, method: str, path: str) -> None:
        """Plugins contract, 4.5."""
        body = {"data": {}} if method == "PATCH" else None

        assert people.nobody.ask(method, path, body).status == 401

    @pytest.mark.parametrize("asked", [("POST", "/accounts"), ("PUT", "/accounts/bob"), ("GET", "/accounts")])
    def test_nobody_may_do_anything_when_creation_is_not_allowed(
        self, client_with: ClientMaker, asked: tuple[str, str]
    ) -> None:
        """P-ACC-22."""
        people = People(client_with({**ONLY_ACCOUNTS, "kinto.account_create_principals": ""}))
        body = None if asked[0] == "GET" else {"data": {"id": "bob", "password": "pw"}}

        assert people.nobody.ask(*asked, body).status == 401

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

    def test_an_owner_need_not_say_the_own_name(self, people: People) -> None:
        """P-ACC-15."""
        answer = people("alice").ask("POST", "/accounts", {"data": {"password": "pw"}})

        assert (answer.status, answer.data["id"]) == (200, "alice")

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

    @pytest.mark.parametrize("path", ["/accounts/bob", "/accounts/admin"], ids=["new", "of somebody"])
    def test_a_user_does_not_put_another_account(self, people: People, path: str) -> None:
        """P-ACC-16."""
        answer = people("alice").ask("PUT", path, {"data": {"password": "pw"}})

        assert answer.status == 400
        assert answer.json["message"] == "data.id in body: Username and account ID do not match."

    @pytest.mark.parametrize("id", ["bob", "admin"], ids=["new", "of somebody"])
    def test_a_user_does_not_post_another_account(self, people: People, id: str) -> None:
        """P-ACC-16."""
        answer = people("alice").ask("POST", "/accounts", {"data": {"id": id, "password": "pw"}})

        assert answer.status == 400
        assert answer.json["message"] == "data.id in body: Username and account ID do not match."

    @pytest.mark.parametrize("path", ["/accounts/admin", "/accounts/unknown"])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
    def test_a_user_may_not_touch_another_account(self, people: People, method: str, path: str) -> None:
        """P-ACC-16."""
        body = {"data": {}} if method == "PATCH" else None

        assert people("alice").ask(method, path, body).status == 403

    @pytest.mark.parametrize("permission", ["read", "write"])
    def test_a_shared_account_is_not_found(self, people: People, permission: str) -> None:
        """P-ACC-17."""
        people("admin").ask("PATCH", "/accounts/admin", {"permissions": {permission: ["account:alice"]}})

        answer = people("alice").ask("GET", "/accounts/admin")

        assert (answer.status, answer.json["errno"]) == (404, 110)
        assert answer.json["details"] == {"id": "admin", "resource_name": "account"}

    def test_a_fresh_copy_is_not_sent_again(self, people: People) -> None:
        """Plugins contract, 4.5: preconditions work as everywhere."""
        etag = people("alice").ask("GET", "/accounts/alice").headers["ETag"]

        assert people("alice").ask("GET", "/accounts/alice", If_None_Match=etag).status == 304

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

    @pytest.mark.parametrize("asked", [("PUT", "/accounts/bob"), ("POST", "/accounts")])
    def test_an_administrator_creates_an_account_for_its_user(self, people: People, asked: tuple[str, str]) -> None:
        """P-ACC-18, P-ACC-21."""
        answer = people("admin").ask(*asked, {"data": {"id": "bob", "password": "pw"}})

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

    @pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
    def test_an_administrator_is_told_that_an_account_is_unknown(self, people: People, method: str) -> None:
        """P-ACC-18."""
        body = {"data": {}} if method == "PATCH" else None

        answer = people("admin").ask(method, "/accounts/unknown", body)

        assert (answer.status, answer.json["errno"]) == (404, 110)

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

        assert answer.headers.getlist("WWW-Authenticate") == [BASIC_REALM, BASIC_REALM]  # type: ignore[attr-defined]


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

    def test_one_account_in_a_batch_does_not_make_others_costly(self, people: People, hashes: list[bytes]) -> None:
        """DECISIONS: verified once per HTTP request; no lock is held for guesses."""
        guesses = [
            {"method": "GET", "path": "/accounts/alice", "headers": {"Authorization": basic("alice", f"guess{n}")}}
            for n in range(5)
        ]

        people.nobody.ask("POST", "/batch", {"requests": [_sign_up("bob"), *guesses, *_work_of("bob")]})

        assert sorted(hashes) == sorted([*(f"guess{n}".encode() for n in range(5)), b"pw", b"pw"])

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


def test_writes_are_refused_when_the_service_is_read_only(client_with: ClientMaker) -> None:
    """Plugins contract, 4.5."""
    people = People(client_with({**ONLY_ACCOUNTS, "kinto.readonly": True}))

    assert people.nobody.ask("PUT", "/accounts/bob", {"data": {"password": "pw"}}).status == 405


def test_methods_are_those_of_every_kind(people: People) -> None:
    """Plugins contract, 4.5."""
    assert people.nobody.ask("PUT", "/accounts").headers["Allow"] == "GET, HEAD, POST, DELETE, OPTIONS"
    assert people.nobody.ask("POST", "/accounts/x").headers["Allow"] == "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"


def test_credentials_that_are_no_text_are_anonymous(people: People) -> None:
    """P-BASIC-2."""
    sent = "Basic " + base64.b64encode(b"alice:\xff\xfe").decode()

    assert "user" not in people.nobody.ask("GET", "/", Authorization=sent).json


def test_the_cache_that_is_down_fails_in_the_way_that_logins_expect(client_with: ClientMaker) -> None:
    """O-CACHE-6."""
    down = {"kinto.cache_backend": "redis", "kinto.cache_url": "redis://127.0.0.1:1/0"}
    people = People(client_with({**ONLY_ACCOUNTS, **down}))

    with pytest.raises(BackendError):
        people.service.cache.get("x")
