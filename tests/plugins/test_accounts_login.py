"""Logging in with an account, and what the service does not start with (plugins contract, 4.1 and 4.2)."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from app.factory import create_app
from app.service import Service
from app.settings import SettingError
from backends import BackendError
from backends.storage import Change, Move, Stored
from tests.api.conftest import on_sqlite
from tests.plugins.conftest import ClientMaker
from tests.plugins.people import ACCOUNTS, BASIC_REALM, ONLY_ACCOUNTS, POLICY, People, User
from tests.support.client import Answer, Client


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
                {
                    "multiauth.policies": "own account",
                    "multiauth.policy.own.use": POLICY,
                    "multiauth.policy.account.use": "kinto.plugins.openid.OpenIDConnectPolicy",
                },
                "would be the account of the same name: choose another name.",
                id="another policy has the name of accounts",
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
        assert refused.value.problem.startswith(begin)

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

    @pytest.mark.parametrize("secret", ["", "s3cr3t"], ids=["empty", "given"])
    def test_an_empty_secret_is_warned_of(self, caplog: pytest.LogCaptureFixture, secret: str) -> None:
        app = create_app({**ONLY_ACCOUNTS, "kinto.userid_hmac_secret": secret})

        assert ("userid_hmac_secret is empty" in caplog.text) is (secret == "")
        app.extensions["kinto"].close()

    @on_sqlite
    def test_the_capability_says_that_addresses_are_not_validated(self, people: People) -> None:
        """P-ACC-28, P-API-4."""
        capability = people.nobody.ask("GET", "/").json["capabilities"]["accounts"]

        assert capability == {
            "description": "Manage user accounts.",
            "url": "https://kinto.readthedocs.io/en/latest/api/1.x/accounts.html",
            "validation_enabled": False,
        }

    @on_sqlite
    @pytest.mark.parametrize("path", ["/accounts/alice/validate/k", "/accounts/alice/reset-password"])
    def test_the_urls_of_validation_are_unknown(self, people: People, path: str) -> None:
        """P-ACC-28."""
        answer = people.nobody.ask("POST", path)

        assert (answer.status, answer.json["errno"]) == (404, 111)

    @on_sqlite
    def test_accounts_are_unknown_without_the_plugin(self, client: Client) -> None:
        """P-API-2."""
        assert client.get("/accounts").status == 404
        assert "accounts" not in client.get("/").json["capabilities"]


@on_sqlite
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
        remembered = people.service.cache.get(key)
        assert isinstance(remembered, list)
        assert remembered[0] == value
        assert 28 < people.service.cache.ttl(key) <= 30

    def test_a_remembered_login_ends_however_often_it_is_used(self, client_with: ClientMaker) -> None:
        """DECISIONS: an absolute end of life, instead of the renewal of P-ACC-5."""
        people = People(client_with({**ONLY_ACCOUNTS, "kinto.userid_hmac_secret": "s3cr3t"}))
        people.sign_up("bob")
        people.user_id("bob")
        key = "4df4a8d70858cd33f2b863fd2206dee02ea870f60d2dde7ca661f0f69b7974eb"
        people.service.cache.expire(key, 5)

        people.user_id("bob")
        people("bob").ask("GET", "/accounts/bob")
        people("bob").ask("PATCH", "/accounts/bob", {"data": {"age": 1}})

        assert 0 < people.service.cache.ttl(key) <= 5

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
        assert "Unable to cache a login" in caplog.text

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


@on_sqlite
def test_credentials_that_are_no_text_are_anonymous(people: People) -> None:
    """P-BASIC-2."""
    sent = "Basic " + base64.b64encode(b"alice:\xff\xfe").decode()

    assert "user" not in people.nobody.ask("GET", "/", Authorization=sent).json


@on_sqlite
def test_the_cache_that_is_down_fails_in_the_way_that_logins_expect(client_with: ClientMaker) -> None:
    """O-CACHE-6."""
    down = {"kinto.cache_backend": "redis", "kinto.cache_url": "redis://127.0.0.1:1/0"}
    people = People(client_with({**ONLY_ACCOUNTS, **down}))

    with pytest.raises(BackendError):
        people.service.cache.get("x")
