"""Basic authentication: any name and password are an identity (plugins contract, 2)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.api.conftest import ClientMaker, on_sqlite
from tests.support.client import Client, basic

pytestmark = on_sqlite

SECRET = {"kinto.userid_hmac_secret": "s3cr3t"}
AB = "a03e25e73dad10cb71a3d084145cdbc2dc9f8a75d2070553a3dee903f44b3d1d"
"""The HMAC of `a:b`."""


def user(client: Client, authorization: str) -> Any:
    """Return what the hello view says of whoever sends this, None where it takes them for nobody in particular."""
    return client.as_(None).get("/", authorization=authorization).json.get("user")


def encoded(credentials: bytes) -> str:
    """Return credentials as they are sent."""
    return base64.b64encode(credentials).decode()


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty service; no test of this file changes the application."""
    return client_with(SECRET)


@pytest.mark.parametrize(
    ("name", "password", "expected"),
    [
        pytest.param("a", "b", AB, id="a name and a password"),
        pytest.param(
            "a", "", "596c367d59266997826515c05ac5f1bf8b2e763a0f5f67ca75fa8277a3ee66d7", id="an empty password"
        ),
        pytest.param(
            "é", "ü", "db9b7b4965f502ee7691fbf02af114ee75dcd1750d82d6a1a58e64dcb7c935b8", id="letters beyond ASCII"
        ),
        pytest.param(
            " a", "b", "001487c6fd43b7cecb4a16d49ff649bedd46453aacceacfb93fdb1d47697be59", id="a blank before the name"
        ),
        pytest.param(
            "a", "b:c", "59954802bf3093c665af4a6d84ace7d247cdd9091f393553ff3d8ab8dcdf133f", id="a colon in the password"
        ),
    ],
)
def test_the_user_id_is_the_hmac_of(client: Client, name: str, password: str, expected: str) -> None:
    """P-BASIC-1, P-BASIC-3."""
    assert user(client, basic(name, password))["id"] == f"basicauth:{expected}"


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        pytest.param("", "a54aae8c19ce0c04a8aa9a21925717501ca877af0ce2f51896c1396b9aec287e", id="is empty"),
        pytest.param("123", None, id="looks like a number"),
    ],
)
def test_a_secret_is_text_when_it(client_with: ClientMaker, secret: str, expected: str | None) -> None:
    """P-BASIC-1, P-BASIC-8."""
    client = client_with({"kinto.userid_hmac_secret": secret})

    object_id = user(client, basic("a", "b"))["id"]

    assert object_id.startswith("basicauth:")
    assert object_id == f"basicauth:{expected}" or expected is None


@pytest.mark.parametrize("authorization", ["basic YTpi", "BASIC YTpi", "Basic YTpi  ", "Basic   YTpi"], ids=repr)
def test_scheme_and_blanks_do_not_matter(client: Client, authorization: str) -> None:
    """P-BASIC-3."""
    assert user(client, authorization)["id"] == f"basicauth:{AB}"


def test_credentials_that_are_not_utf8_are_latin1(client: Client) -> None:
    """P-BASIC-3."""
    in_latin1 = user(client, f"Basic {encoded('é:ü'.encode('latin-1'))}")

    assert in_latin1 == user(client, basic("é", "ü"))


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param(f"Basic {encoded(b':b')}", id="the name is empty"),
        pytest.param(f"Basic {encoded(b'ab')}", id="there is no colon"),
        pytest.param("Basic !!!", id="it is not base64"),
        pytest.param("Basic", id="nothing follows the scheme"),
        pytest.param("Bearer YTpi", id="the scheme is another"),
    ],
)
def test_nobody_in_particular_asks_when(client: Client, authorization: str) -> None:
    """P-BASIC-2, P-BASIC-6."""
    answer = client.as_(None).get("/", authorization=authorization)

    assert answer.status == 200
    assert "user" not in answer.json


def test_hello_shows_id_and_principals_of_who_is_known(client: Client) -> None:
    """P-BASIC-6."""
    user_info = user(client, basic("a", "b"))

    assert user_info.keys() == {"id", "principals"}
    assert sorted(user_info["principals"]) == [f"basicauth:{AB}", "system.Authenticated", "system.Everyone"]


def test_hello_names_the_capability_of_the_policy(client: Client) -> None:
    """P-API-4, P-BASIC-4."""
    assert client.get("/").json["capabilities"]["basicauth"] == {
        "description": "Very basic authentication sessions. Not for production use.",
        "url": "http://kinto.readthedocs.io/en/stable/api/1.x/authentication.html",
    }


@pytest.mark.parametrize("name", ["foo", "FOO"])
def test_a_policy_of_another_name_is_the_prefix_and_no_capability(client_with: ClientMaker, name: str) -> None:
    """P-BASIC-4."""
    use = "kinto.core.authentication.BasicAuthAuthenticationPolicy"
    policy = {"multiauth.policies": name, f"multiauth.policy.{name}.use": use}
    client = client_with({**SECRET, **policy})

    assert user(client, basic("a", "b"))["id"] == f"foo:{AB}"
    assert "basicauth" not in client.get("/").json["capabilities"]


def test_a_challenge_names_the_realm_of_the_settings(client_with: ClientMaker) -> None:
    """P-BASIC-5."""
    client = client_with({"multiauth.policy.basicauth.realm": "Here"})

    answer = client.as_(None).put("/buckets/b")

    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="Here"')
