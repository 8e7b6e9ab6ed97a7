"""Requests with the tokens of OpenID providers (plugins contract, 5.1 and 5.2)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Response

from app.factory import create_app, create_service
from app.identity import Credentials
from app.settings import SettingError, load
from backends import BackendError
from tests.plugins.logins import USE, MakeService, login_path, policy, service_of, services, user_of
from tests.plugins.people import ACCOUNTS
from tests.support.client import Client
from tests.support.openid_provider import AUDIENCE, CLIENT_ID, Provider, openid_provider

TOKEN_KEY = "openid:verify:eb2240df8f9d234f49baf61a47580a2dc0b72a4dde383d8636fa05ebcc33a5db"
"""The cache key of the token `tok` (plugins contract, 5.2)."""


def fail(*_: Any) -> None:
    """Be the method of a cache that is down."""
    raise BackendError("down")


def test_the_capability_lists_the_providers(provider: Provider, make_service: MakeService) -> None:
    """P-OID-1, P-API-4."""
    other = policy(provider, "Auth0", header_type="Bearer+OIDC", audience=AUDIENCE, issuer=f"{provider.url}/")
    client = make_service(policy(provider), other)

    common = {"issuer": provider.url, "client_id": CLIENT_ID, "userinfo_endpoint": f"{provider.url}/userinfo"}
    assert client.get("/").json["capabilities"]["openid"] == {
        "description": "OpenID connect support.",
        "url": "http://kinto.readthedocs.io/en/stable/api/1.x/authentication.html",
        "providers": [
            common | {"name": "google", "auth_path": "/openid/google/login", "audience": "", "header_type": "Bearer"},
            common
            | {
                "name": "auth0",
                "auth_path": "/openid/auth0/login",
                "audience": AUDIENCE,
                "header_type": "Bearer+OIDC",
            },
        ],
    }


def test_without_a_policy_there_is_no_capability_and_no_login(make_service: MakeService) -> None:
    """P-OID-2."""
    client = make_service({"multiauth.policies": ""})

    answer = client.get(login_path())

    assert "openid" not in client.get("/").json["capabilities"]
    assert (answer.status, answer.json["message"]) == (400, "Unknown provider 'google'")


def test_the_policy_works_without_the_plugin(provider: Provider, make_service: MakeService) -> None:
    """Plugins contract, 5.1."""
    client = make_service(policy(provider), {"kinto.includes": ""})

    hello = client.get("/", authorization=f"Bearer {provider.issue()}").json

    assert hello["user"]["id"] == "google:alice"
    assert "profile" not in hello["user"]
    assert "openid" not in hello["capabilities"]
    assert client.get(login_path()).status == 404


def test_a_provider_that_is_down_does_not_prevent_the_start(
    make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    """P-OID-3."""
    with openid_provider() as provider:
        port = int(provider.url.rpartition(":")[2])
        settings = policy(provider)
    client = make_service(settings)

    assert "The provider google is not available" in caplog.text
    assert user_of(client, "tok") is None
    assert client.get(login_path()).status == 503
    assert client.get("/__api__").json["securityDefinitions"]["google"]["type"] == "oauth2"
    with openid_provider(port) as provider:
        assert user_of(client, provider.issue()) == "google:alice"
        assert client.get(login_path()).status == 307
        (description,) = client.get("/").json["capabilities"]["openid"]["providers"]
        assert description["userinfo_endpoint"] == f"{provider.url}/userinfo"


@pytest.mark.parametrize(
    "description",
    [b"no json", [], {}, {"issuer": "x", "token_endpoint": "https://x"}, ("", 500), b"[" * 100_000],
    ids=["no JSON", "a list", "nothing", "parts", "an error", "deep"],
)
def test_a_provider_whose_description_is_of_no_use_counts_as_down(
    provider: Provider, make_service: MakeService, description: Any
) -> None:
    """P-OID-3."""
    provider.answers["/.well-known/openid-configuration"] = description
    client = make_service(policy(provider))

    assert user_of(client, provider.issue()) is None
    assert client.get(login_path()).status == 503


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("issuer", None), ("issuer", "idp.example"), ("client_id", None), ("client_id", " "), ("header_type", "a b"),
        ("header_type", ""), ("verification_ttl_seconds", "x"), ("state_ttl_seconds", "-1"), ("state_length", "0"),
        ("trusted_callback_urls", "https://x.org/* trusted.com"), ("trusted_callback_urls", "https://x.org/../*"),
    ],
)  # fmt: skip
def test_the_start_is_refused_for_a_wrong_option(option: str, value: Any) -> None:
    """Plugins contract, 5.1: a clear message."""
    chosen = {"use": USE, "issuer": "https://idp.example", "client_id": "cid", option: value}
    settings = {f"multiauth.policy.google.{name}": text for name, text in chosen.items() if text is not None}

    with pytest.raises(SettingError, match=rf"^multiauth\.policy\.google\.{option}: .* expected"):
        create_app({"kinto.includes": "kinto.plugins.openid", "multiauth.policies": "google", **settings})


@pytest.mark.parametrize(
    ("header", "is_known"),
    [
        ("Bearer {}", True), ("bearer {}", True), ("BEARER  {} ", True), ("Bearer+OIDC {}", False), ("Bearer{}", False),
        ("Bearer", False), ("Bearer ", False), ("Basic {}", False), ("Bearer {} x", False), ("Bearer {}\xe9", False),
    ],
)  # fmt: skip
def test_a_token_follows_its_scheme(provider: Provider, make_service: MakeService, header: str, is_known: bool) -> None:
    """P-OID-4."""
    client = make_service(policy(provider))

    hello = client.get("/", authorization=header.format(provider.issue()))

    assert (hello.status, "user" in hello.json) == (200, is_known)


def test_several_providers_are_told_apart_by_the_scheme(provider: Provider, make_service: MakeService) -> None:
    """P-OID-4, P-OID-8."""
    with openid_provider() as other:
        client = make_service(policy(provider), policy(other, "other", header_type="Bearer+OIDC", realm="Ours"))
        other.user = {"sub": "bob"}

        assert user_of(client, other.issue(), "bearer+oidc") == "other:bob"
        assert user_of(client, other.issue()) is None
    assert client.get("/buckets/b").challenges == ['Bearer realm="Realm"', 'Bearer+OIDC realm="Ours"']


def test_a_verified_token_is_remembered(provider: Provider, make_service: MakeService) -> None:
    """P-OID-5."""
    client, token = make_service(policy(provider)), provider.issue()

    assert {user_of(client, token) for _ in range(3)} == {"google:alice"}

    assert provider.paths.count("userinfo") == 1
    assert f"Bearer {token}" in provider.authorizations


def test_a_remembered_token_has_the_documented_key_and_is_renewed() -> None:
    """P-OID-5, O-CACHE-15."""
    options = {"use": USE, "issuer": "https://idp.example/", "client_id": "cid", "verification_ttl_seconds": "1000"}
    settings = {f"multiauth.policy.google.{name}": value for name, value in options.items()}
    service = create_service(
        load({"multiauth.policies": "google", "kinto.userid_hmac_secret": "s3cr3t", **settings}, {})
    )
    service.cache.set(TOKEN_KEY, {"sub": "me"}, 10)

    assert service.authenticator.authenticate(Credentials("Bearer tok")).user_id == "google:me"

    assert 990 < service.cache.ttl(TOKEN_KEY) <= 1000
    service.close()


def test_a_cache_that_is_down_costs_a_call_and_nobody_is_sent_away(
    provider: Provider, make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DECISIONS: a login that cannot be remembered is checked, and the request goes on."""
    client, token = make_service(policy(provider)), provider.issue()

    for method in ("get", "set", "expire"):
        monkeypatch.setattr(service_of(client).cache, method, fail)

    assert [user_of(client, token) for _ in range(2)] == ["google:alice"] * 2
    assert provider.paths.count("userinfo") == 2


def test_a_cache_that_cannot_be_written_still_remembers(
    provider: Provider, make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-OID-5: a token that cannot be renewed is not verified again."""
    client, token = make_service(policy(provider)), provider.issue()
    user_of(client, token)

    monkeypatch.setattr(service_of(client).cache, "expire", fail)

    assert user_of(client, token) == "google:alice"
    assert provider.paths.count("userinfo") == 1


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Provider, Client]]:
    """Return a provider, and a client of a service with a policy and a scheme for each of two fields."""
    with openid_provider() as provider, services() as make:
        fields = [policy(provider, name, header_type=name, userid_field=name) for name in ("sub", "email")]
        yield provider, make(*fields)


@pytest.mark.parametrize(
    ("field", "document", "expected"),
    [
        pytest.param("email", {"sub": "a", "email": "a@b.c"}, "email:a@b.c", id="a chosen field"),
        pytest.param("sub", {"sub": 5}, "sub:5", id="a number"),
        pytest.param("email", {"sub": "a"}, None, id="no such field"),
        *(
            pytest.param("sub", {"sub": value}, None, id=f"the field is {json.dumps(value)[:20]}")
            for value in (None, "", True, ["a"], {"a": 1}, 1.5, "x\0", "\ud800", "x" * 1024)
        ),
        *(
            pytest.param("sub", body, None, id=f"the answer is {body[:20]!r}")
            for body in (
                b'{"sub": "a", "name": "\\ud800"}',
                b'{"sub": "a", "age": NaN}',
                b'{"sub": "a", "age": 1e999}',
                b"[1]",
                b"text",
                b"",
                b'"a"',
                b"null",
                b"[" * 100_000,
                b"\xff",
                b'{"sub": "a"' + b" " * 1024**2 + b"}",
            )
        ),
        *(pytest.param("sub", (b'{"sub": "a"}', status), None, id=f"status {status}") for status in (302, 401, 500)),
    ],
)
def test_the_user_id_is_a_field_of_the_user_info(
    shared: tuple[Provider, Client], field: str, document: Any, expected: str | None
) -> None:
    """P-OID-6: everybody else is anonymous, and nothing is a 500."""
    provider, client = shared
    provider.answers["/userinfo"] = document

    assert user_of(client, provider.issue(), field) == expected


def test_a_redirect_of_the_user_info_is_not_followed(provider: Provider, make_service: MakeService) -> None:
    """P-OID-6: the token would be sent to wherever it leads."""
    client = make_service(policy(provider))
    provider.answers["/userinfo"] = Response("", 302, {"Location": f"{provider.url}/elsewhere"})

    assert user_of(client, provider.issue()) is None
    assert "elsewhere" not in provider.paths


def test_a_bad_token_is_logged_for_debugging_alone(
    provider: Provider, make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    """Plugins contract, 5.2: and no line contains a token."""
    client = make_service(policy(provider), policy(provider, "strict", audience=AUDIENCE, header_type="Strict"))
    caplog.set_level(logging.DEBUG, "kinto.plugins.openid")

    user_of(client, "t0ken"), user_of(client, "t0ken", "Strict")

    lines = [record.getMessage() for record in caplog.records if record.name == "kinto.plugins.openid"]
    assert lines[0].startswith(f"Unable to fetch user profile from {provider.url}/userinfo")
    assert lines[1].startswith(f"Invalid JWT access token from {provider.url}")
    assert "t0ken" not in "".join(lines)


def test_hello_shows_the_profile(provider: Provider, make_service: MakeService) -> None:
    """P-OID-9."""
    accounts = {**ACCOUNTS, "kinto.includes": "kinto.plugins.openid kinto.plugins.accounts"}
    client = make_service(policy(provider), accounts, {"multiauth.policies": "google basicauth"})

    def user(authorization: str) -> Any:
        return client.get("/", authorization=authorization).json.get("user")

    assert user(f"Bearer {provider.issue()}")["profile"] == provider.user
    assert user("Basic YTpi")["profile"] == {}
    assert user("Bearer x") is None


@pytest.mark.parametrize("order", ["openid default_bucket", "default_bucket openid"])
def test_hello_shows_profile_and_bucket_in_any_order(provider: Provider, make_service: MakeService, order: str) -> None:
    """P-OID-9."""
    includes = " ".join(f"kinto.plugins.{name}" for name in order.split())
    client = make_service(policy(provider), {"kinto.includes": includes})

    user = client.get("/", authorization=f"Bearer {provider.issue()}").json["user"]

    assert user["profile"] == provider.user
    assert user["bucket"]


@pytest.mark.parametrize("metrics", [{}, {"kinto.statsd_url": "udp://127.0.0.1:8125"}], ids=["plain", "timed"])
def test_openapi_describes_the_policies(provider: Provider, make_service: MakeService, metrics: dict[str, str]) -> None:
    """P-OID-19."""
    document = make_service(policy(provider), metrics).get("/__api__").json

    assert document["securityDefinitions"] == {
        "google": {"type": "oauth2", "authorizationUrl": f"{provider.url}/authorize"}
    }
    ids = [document["paths"][f"/openid/{{provider}}/{name}"]["get"]["operationId"] for name in ("login", "token")]
    assert ids == ["get_openid_login", "get_openid_token"]


def test_objects_belong_to_their_user(provider: Provider, make_service: MakeService) -> None:
    """P-OID-5: the id is a principal like any other."""
    client = make_service(policy(provider))
    headers = {"Authorization": f"Bearer {provider.issue()}"}

    answer = client.ask("PUT", "/buckets/b", {"data": {}}, headers)

    assert (answer.status, answer.json["permissions"]) == (201, {"write": ["google:alice"]})
    assert client.get("/buckets/b").status == 401
    assert client.get("/buckets/b", authorization=f"Bearer {provider.issue({'sub': 'bob'})}").status == 403


@pytest.mark.parametrize("is_good", [True, False], ids=["a good token", "a bad token"])
def test_a_batch_asks_once_and_before_it_locks_anything(
    provider: Provider, make_service: MakeService, monkeypatch: pytest.MonkeyPatch, is_good: bool
) -> None:
    """P-OID-5: also where a new account makes the batch check all credentials again, and nothing is remembered."""
    accounts = {**ACCOUNTS, "kinto.includes": "kinto.plugins.openid kinto.plugins.accounts"}
    client = make_service(
        policy(provider, verification_ttl_seconds="0"), accounts, {"multiauth.policies": "account google"}
    )
    token = provider.issue() if is_good else "x"
    put = {"method": "PUT", "body": {"data": {"password": "pw"}}}
    requests = [{**put, "path": "/accounts/carol"}, {"path": "/"}, {**put, "path": "/buckets/b"}, {"path": "/"}]
    locked = watch_locks(client, provider, monkeypatch)

    answer = client.ask("POST", "/batch", {"requests": requests}, {"Authorization": f"Bearer {token}"})

    users = [entry["body"].get("user", {}).get("id") for entry in answer.json["responses"][1::2]]
    assert users == ["google:alice" if is_good else None] * 2
    assert provider.paths.count("userinfo") == 1
    assert locked[0] == 1


def watch_locks(client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets, at each start of a transaction, the number of calls for user info so far."""
    storage = service_of(client).storage
    begin, calls = storage.transaction, []

    def watched(*arguments: Any) -> Any:
        calls.append(provider.paths.count("userinfo"))
        return begin(*arguments)

    monkeypatch.setattr(storage, "transaction", watched)
    return calls
