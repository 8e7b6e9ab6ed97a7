"""Access tokens that are JWTs for an audience: which are accepted, and how keys rotate (plugins contract, 5.2)."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from joserfc.jwk import ECKey, OctKey, RSAKey

from backends import BackendError
from blueprints.plugins import PolicySettings
from blueprints.plugins.openid.options import read_options
from blueprints.plugins.openid.provider import KEYS_MAX_AGE_SECONDS
from blueprints.plugins.openid.provider import Provider as TrustedProvider
from tests.plugins.logins import MakeService, policy, service_of, services, trusted_provider, user_of
from tests.support.client import Client
from tests.support.openid_provider import AUDIENCE, CLIENT_ID, Provider, Token, first_key, openid_provider

NOW = int(time.time())
"""When this module was imported, minutes before some of its tests run."""
EC_KEY = ECKey.generate_key("P-256", parameters={"kid": "curve"})
FOREIGN_KEY = RSAKey.generate_key(parameters={"kid": "foreign"})


@pytest.fixture
def client(provider: Provider, make_service: MakeService) -> Client:
    """Return a client of a service that demands an audience."""
    return make_service(policy(provider, audience=AUDIENCE))


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Provider, Client]]:
    """Return a provider and such a client for tests that leave them as they are."""
    with openid_provider() as provider, services() as make:
        yield provider, make(policy(provider, audience=AUDIENCE))


def issue(provider: Provider, token: str) -> str:
    """Let the provider accept a token, so that only its signature can be wrong."""
    provider.tokens[token] = Token(provider.clients[CLIENT_ID], provider.user)
    return token


def encode(part: Any) -> str:
    """Return a part of a JWT."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def tamper(token: str) -> str:
    """Return a token with another user and the signature of the first."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{header}.{encode({**claims, 'sub': 'eve'})}.{signature}"


def sign_again(provider: Provider, header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """Return a good token with another header and signature."""
    _, payload, _ = provider.sign().split(".")
    text = f"{encode({'kid': 'first', **header})}.{payload}"
    return f"{text}.{encode(sign(text.encode()))}"


def with_the_right_key(text: bytes) -> bytes:
    """Sign a text as the provider does."""
    key = first_key().get_op_key("sign")
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.sign(text, padding.PKCS1v15(), hashes.SHA256())


def with_the_public_key(text: bytes) -> bytes:
    """Sign a text by the public key as if it were a secret."""
    return hmac.digest(first_key().as_pem(private=False), text, "sha256")


ACCEPTED: list[tuple[str, Callable[[Provider], str]]] = [
    ("RSA", lambda provider: provider.sign()),
    (
        "a signature of the tests",
        lambda provider: issue(provider, sign_again(provider, {"alg": "RS256"}, with_the_right_key)),
    ),
    ("several audiences", lambda provider: provider.sign(claims={"aud": ["x", AUDIENCE]})),
    ("the only key without its id", lambda provider: provider.sign(header={"kid": None})),
    ("a header of the provider's own", lambda provider: provider.sign(header={"typ": "at+jwt", "own": 1})),
    ("certificates in its header", lambda provider: provider.sign(header={"x5c": ["MII" * 2000]})),
    ("a clock that is 10 s ahead", lambda provider: provider.sign(claims={"iat": NOW + 10, "nbf": NOW + 10})),
]


@pytest.mark.parametrize("make", [make for _, make in ACCEPTED], ids=[name for name, _ in ACCEPTED])
def test_a_token_is_accepted_with(shared: tuple[Provider, Client], make: Callable[[Provider], str]) -> None:
    """P-OID-7."""
    provider, client = shared

    assert user_of(client, make(provider)) == "google:alice"


REFUSED: list[tuple[str, Callable[[Provider], str]]] = [
    ("expired", lambda provider: provider.sign(claims={"exp": NOW - 60})),
    ("expired, with a text as time", lambda provider: provider.sign(claims={"exp": "tomorrow"})),
    ("without an end", lambda provider: provider.sign(claims={"exp": None})),
    ("not yet valid", lambda provider: provider.sign(claims={"nbf": NOW + 3600})),
    ("of the future", lambda provider: provider.sign(claims={"iat": NOW + 3600})),
    ("for another client", lambda provider: provider.sign(claims={"aud": CLIENT_ID})),
    ("for nobody", lambda provider: provider.sign(claims={"aud": None})),
    ("for a part of the audience", lambda provider: provider.sign(claims={"aud": AUDIENCE[:-1]})),
    ("of another issuer", lambda provider: provider.sign(claims={"iss": "https://evil.example"})),
    ("of no issuer", lambda provider: provider.sign(claims={"iss": None})),
    ("unsigned", lambda provider: sign_again(provider, {"alg": "none"}, lambda _: b"")),
    ("changed", lambda provider: tamper(provider.sign())),
    ("signed by another key", lambda provider: provider.sign(FOREIGN_KEY)),
    ("signed by another key under its id", lambda provider: provider.sign(FOREIGN_KEY, {"kid": "foreign"})),
    (
        "signed by a key that it brings along",
        lambda provider: provider.sign(FOREIGN_KEY, {"jwk": FOREIGN_KEY.as_dict(private=False)}),
    ),
    (
        "signed by the public key as a secret",
        lambda provider: sign_again(provider, {"alg": "HS256"}, with_the_public_key),
    ),
    (
        "with an extension that must be understood",
        lambda provider: sign_again(provider, {"alg": "RS256", "crit": ["x"], "x": 1}, with_the_right_key),
    ),
    *(
        (
            f"with {name} = {value!r}",
            lambda provider, odd={name: value}: sign_again(provider, {"alg": "RS256", **odd}, with_the_right_key),
        )
        for name, value in (("crit", 5), ("crit", None), ("crit", [[]]), ("kid", ["first"]), ("alg", ["RS256"]))
    ),
    ("with an algorithm that does not exist", lambda provider: f"{encode({'alg': 'X'})}.{encode({})}.x"),
    ("opaque", lambda provider: provider.issue()),
    ("without parts", lambda provider: "..."),
    ("encrypted", lambda provider: "a.b.c.d.e"),
    ("with a header that is a list", lambda provider: f"{encode([])}.{encode({})}.x"),
    ("with a deep header", lambda provider: f"{encode(b'[' * 5000)}.{encode(b'[' * 5000)}.x"),
]


@pytest.mark.parametrize("make", [make for _, make in REFUSED], ids=[name for name, _ in REFUSED])
def test_a_token_is_refused_that_is(shared: tuple[Provider, Client], make: Callable[[Provider], str]) -> None:
    """P-OID-7: although the provider itself would accept it."""
    provider, client = shared
    token = issue(provider, make(provider))
    calls = provider.paths.count("userinfo")

    assert user_of(client, token) is None

    assert provider.paths.count("userinfo") == calls


@pytest.mark.parametrize(
    ("algorithms", "key", "expected"),
    [
        pytest.param(["RS256", "ES256"], EC_KEY, "google:alice", id="an elliptic curve"),
        pytest.param(["RS256"], EC_KEY, None, id="one that the provider does not use"),
        pytest.param(None, first_key(), "google:alice", id="the default"),
        pytest.param(["none", "HS256"], first_key(), "google:alice", id="no usable one is named"),
        pytest.param("RS256", EC_KEY, None, id="the default where the list is no list"),
    ],
)
def test_the_algorithms_are_those_of_the_provider(
    provider: Provider, make_service: MakeService, algorithms: Any, key: Any, expected: str | None
) -> None:
    """P-OID-7."""
    provider.algorithms = algorithms
    provider.rotate(key)
    client = make_service(policy(provider, audience=AUDIENCE))

    assert user_of(client, provider.sign()) == expected


def test_a_token_is_forgotten_when_it_ends(provider: Provider, client: Client, make_service: MakeService) -> None:
    """P-OID-7, P-OID-5: its entry in the cache lives no longer, however often it is used."""
    plain, token = make_service(policy(provider)), provider.sign(claims={"exp": int(time.time()) + 120})

    for service_client in (client, plain):
        assert [user_of(service_client, token) for _ in range(2)] == ["google:alice"] * 2
        (key,) = verified_keys(service_client)
        assert service_of(service_client).cache.ttl(key) <= 120


def test_a_token_that_has_ended_is_not_believed_for_being_remembered(
    provider: Provider, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P-OID-7."""
    now = int(time.time())
    token = provider.sign(claims={"exp": now + 120})
    assert user_of(client, token) == "google:alice"

    monkeypatch.setattr(time, "time", lambda: now + 240.0)

    assert user_of(client, token) is None


def verified_keys(client: Client) -> list[str]:
    """Return the keys of verified tokens in the memory cache of a service."""
    cache: Any = service_of(client).cache
    return [key for key in vars(cache)["_entries"] if "openid:verify:" in key]


def test_a_new_key_is_found_at_once(provider: Provider, client: Client) -> None:
    """P-OID-7: keys rotate; tokens of a key that is gone are refused."""
    old_key = provider.keys[0]
    assert user_of(client, provider.sign()) == "google:alice"

    provider.rotate()
    client_keys_expire(client)

    assert user_of(client, provider.sign()) == "google:alice"
    assert user_of(client, provider.sign(old_key, {"kid": old_key.kid}, {"jti": "another"})) is None
    assert provider.paths.count("jwks") == 2


def client_keys_expire(client: Client) -> None:
    """Let the time pass in which keys are not fetched again."""
    trusted_provider(client)._next_fetch = 0.0


def test_unknown_keys_cost_one_call_in_a_while(provider: Provider, client: Client) -> None:
    """P-OID-7: whoever invents keys does not make the service call the provider each time."""
    assert user_of(client, provider.sign()) == "google:alice"
    client_keys_expire(client)

    for number in range(5):
        assert user_of(client, provider.sign(FOREIGN_KEY, {"kid": str(number)})) is None

    assert provider.paths.count("jwks") == 2


def test_keys_of_unknown_or_secret_kinds_are_ignored(provider: Provider, client: Client) -> None:
    """P-OID-7."""
    secret = OctKey.generate_key(parameters={"kid": "secret"})
    keys = [{"kty": "AKP", "kid": "new"}, {"kty": "RSA"}, "text", None, {"kty": "EC", "crv": "x", "x": "", "y": ""}]
    provider.answers["/jwks"] = {"keys": [*keys, secret.as_dict(), first_key().as_dict(private=False)]}

    assert user_of(client, provider.sign()) == "google:alice"
    assert user_of(client, issue(provider, provider.sign(secret, {"kid": "secret"}))) is None


def without_id(key: RSAKey | ECKey, **more: Any) -> dict[str, Any]:
    """Return a public key as a provider publishes it, without its id."""
    return {name: value for name, value in key.as_dict(private=False).items() if name != "kid"} | more


@pytest.mark.parametrize("key_id", ["first", None], ids=["a token with an id", "a token without an id"])
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([without_id(first_key())], id="the key has none"),
        pytest.param([without_id(FOREIGN_KEY), without_id(EC_KEY), without_id(first_key())], id="no key has one"),
        pytest.param(
            [without_id(key, kid="first") for key in (EC_KEY, FOREIGN_KEY, first_key())], id="all keys have the same"
        ),
        pytest.param(
            [without_id(FOREIGN_KEY, kid="other"), without_id(first_key(), kid="first")], id="each has its own"
        ),
    ],
)
def test_any_key_of_the_provider_that_fits_is_tried(
    provider: Provider, client: Client, keys: list[Any], key_id: str | None
) -> None:
    """P-OID-7: ids of keys are hints, optional in keys and in tokens, and not always unique."""
    provider.answers["/jwks"] = {"keys": keys}

    assert user_of(client, provider.sign(header={"kid": key_id})) == "google:alice"
    assert user_of(client, issue(provider, tamper(provider.sign(header={"kid": key_id})))) is None


def test_a_new_key_with_the_id_of_the_former_is_found(provider: Provider, client: Client) -> None:
    """P-OID-7."""
    assert user_of(client, provider.sign()) == "google:alice"

    provider.rotate(RSAKey.generate_key(parameters={"kid": "first"}))
    client_keys_expire(client)

    assert user_of(client, provider.sign()) == "google:alice"


def test_a_description_without_issuer_means_the_configured_one(provider: Provider, make_service: MakeService) -> None:
    """P-OID-7: not any issuer."""
    provider.answers["/.well-known/openid-configuration"] = {**provider.describe(), "issuer": ""}
    client = make_service(policy(provider, audience=AUDIENCE))

    assert user_of(client, provider.sign()) == "google:alice"
    assert user_of(client, provider.sign(claims={"iss": "https://evil.example"})) is None


@pytest.mark.parametrize("document", [{}, {"keys": []}, {"keys": 1}, [], b"x", ("", 500)])
def test_a_provider_without_keys_has_no_users(provider: Provider, client: Client, document: Any) -> None:
    """P-OID-7."""
    provider.answers["/jwks"] = document

    assert user_of(client, provider.sign()) is None


def test_keys_are_fetched_again_after_a_while_and_kept_while_that_fails(provider: Provider) -> None:
    """P-OID-7."""
    now = 0.0
    settings = {"issuer": provider.url, "client_id": CLIENT_ID}
    trusted = TrustedProvider(read_options(PolicySettings("google", "", settings)), clock=lambda: now)
    (first,) = trusted.keys()
    assert trusted.keys() == (first,)

    provider.rotate()
    now = KEYS_MAX_AGE_SECONDS
    (second,) = trusted.keys()
    provider.answers["/jwks"] = ("", 500)
    now *= 2
    (third,) = trusted.keys()

    assert first.kid != second.kid
    assert third is second
    assert provider.paths.count("jwks") == 3


def test_the_first_keys_are_waited_for(provider: Provider) -> None:
    """P-OID-7: without any the provider counts as down."""
    provider.answers["/jwks"] = ("", 500)
    settings = {"issuer": provider.url, "client_id": CLIENT_ID}
    trusted = TrustedProvider(read_options(PolicySettings("google", "", settings)))

    with pytest.raises(BackendError):
        trusted.keys()
