"""Policies that see the whole request, and that add principals (plugins contract, 1.3)."""

from __future__ import annotations

import pytest
from flask import Blueprint, Flask, Response

from app.service import Service
from blueprints.plugins import ClientRequest, Identity, Reader, Reply, authenticate_and_verify, prefix, to_response
from tests.plugins.conftest import ClientMaker, MakeClient
from tests.support.client import Client

RECORD = "/buckets/b/collections/c/records/r"


class KeyPolicy:
    """Accept an `X-Key`, as a user with a role; senders of one network have a principal without any credentials."""

    name = "key"
    reads_requests = True

    def identify(self, request: ClientRequest, read: Reader) -> Identity | None:
        """Return the identity of a key, an anonymous one from the path `/buckets/open`, else None."""
        key = request.header("x-key")
        if key:
            return Identity(f"key:{key}", self.name, more_principals=("role:editor", f"address:{request.address}"))
        if request.path.startswith("/buckets/open") and request.query == "visit=1":
            return Identity(more_principals=("role:visitor",))
        return None

    def challenge(self) -> None:
        """Ask for nothing."""


def attach(app: Flask, service: Service) -> None:
    service.add_policy(KeyPolicy())
    urls = Blueprint("who", __name__, url_prefix=prefix(service))

    @urls.get("/who", provide_automatic_options=False)
    def who() -> Response:
        return to_response(Reply(200, f'{{"id":"{authenticate_and_verify(service).user_id}"}}'))

    app.register_blueprint(urls)


def prepare(client: Client) -> Client:
    client.put("/buckets/b", permissions={"read": ["role:editor"]})
    client.put("/buckets/b/collections/c", permissions={"record:create": ["address:127.0.0.1"]})
    return client.as_(None)


def test_a_policy_reads_any_header_and_adds_principals(client_of: MakeClient) -> None:
    """P-API-6: the principals are granted like users, written by none, and shown in the hello view."""
    anonymous = prepare(client_of(attach))

    made = anonymous.put(RECORD, x_key="k1")

    assert (made.status, made.json["permissions"]) == (201, {"write": ["key:k1"]})
    assert anonymous.get("/buckets/b", x_key="k2").status == 200
    assert anonymous.get("/buckets/b").status == 401
    assert set(anonymous.get("/", x_key="k1").json["user"]["principals"]) > {"key:k1", "role:editor"}
    assert anonymous.get("/who", x_key="k3").json == {"id": "key:k3"}


def test_a_policy_sees_path_query_and_the_headers_of_each_member(client_of: MakeClient) -> None:
    """P-API-6: members with one `Authorization` and different headers are different senders."""
    client = client_of(attach)
    anonymous = prepare(client)
    client.put("/buckets/open", permissions={"read": ["role:visitor"]})
    members = [{"path": "/who", "headers": {"X-Key": key}} for key in ("k1", "k2")]
    members += [{"path": "/buckets/open?visit=1"}, {"path": "/buckets/open?visit=2"}, {"path": "/buckets/b"}]
    members += [{"path": "/buckets/b", "headers": {"X-Key": "k1"}}]

    answers = anonymous.batch(*members).json["responses"]

    assert [answer["status"] for answer in answers] == [200, 200, 200, 401, 401, 200]
    assert [answer["body"] for answer in answers[:2]] == [{"id": "key:k1"}, {"id": "key:k2"}]


def test_basic_authentication_works_beside_it(client_of: MakeClient) -> None:
    """P-BASIC-7: what the policy does not accept is left to the next one."""
    client = client_of(attach)

    assert client.get("/").json["user"]["id"] == client.id
    assert client.get("/", x_key="k1").json["user"]["id"] == "key:k1"


def test_principals_without_a_user_are_added_to_the_user_of_a_later_policy(client_of: MakeClient) -> None:
    """P-API-6: credentials count beside them, in a batch too; without credentials the sender is anonymous."""
    client = client_of(attach)
    client.put("/buckets/open", permissions={"read": ["role:visitor"]})
    client.put("/buckets/open/collections/c", permissions={"record:create": ["role:visitor"]})
    record = "/buckets/open/collections/c/records/{}?visit=1"

    made = client.as_("bob").put(record.format("r"))
    batch = client.as_("bob").batch({"method": "PUT", "path": record.format("s")})
    anonymous = client.as_(None).put(record.format("t"))

    writers = [
        made.json["permissions"],
        batch.json["responses"][0]["body"]["permissions"],
        anonymous.json["permissions"],
    ]
    assert writers == [{"write": [client.as_("bob").id]}] * 2 + [{"write": ["system.Everyone"]}]
    assert client.as_("bob").get("/buckets/open").status == 403
    assert client.get("/buckets/open?visit=1").json["permissions"]["write"] == [client.id]


def test_logins_of_accounts_are_verified_beside_it(client_with: ClientMaker) -> None:
    """A remembered login of a changed password is checked anew with the whole request."""
    settings = {
        "kinto.includes": f"kinto.plugins.accounts {__name__}",
        "multiauth.policies": "account",
        "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
        "kinto.account_create_principals": "system.Everyone",
        "kinto.account_bcrypt_rounds": 4,
    }
    client = client_with(settings, kept=False)
    client.as_(None).put("/accounts/alice", {"password": "secret"})
    assert client.get("/").json["user"]["id"] == "account:alice"

    client.put("/accounts/alice", {"password": "other"})

    assert "user" not in client.get("/").json
    assert client.get("/", x_key="k1").json["user"]["id"] == "key:k1"


@pytest.mark.parametrize(
    "user_id",
    [
        pytest.param("", id="empty"),
        pytest.param("system.Everyone", id="everyone"),
        pytest.param("/buckets/b/groups/g", id="a group"),
        pytest.param(f"key:{'k' * 1021}", id="longer than a principal"),
        pytest.param("key:\0", id="what no database stores"),
    ],
)
def test_a_user_id_that_no_user_can_have_is_ignored(
    client_of: MakeClient, caplog: pytest.LogCaptureFixture, user_id: str
) -> None:
    """The sender is anonymous: an empty id would be that of everyone, and write what everyone may change."""

    class Careless(KeyPolicy):
        def identify(self, request: ClientRequest, read: Reader) -> Identity:
            return Identity(user_id, self.name)

    anonymous = client_of(lambda _, service: service.add_policy(Careless())).as_(None)

    assert anonymous.put("/buckets/b").status == 401
    assert "user" not in anonymous.get("/").json
    assert "The policy 'key' returned a user id that no user can have: it is ignored." in caplog.messages
