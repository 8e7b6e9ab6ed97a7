"""A rule holds at every entrance: whatever way a value takes into the service, it is refused the same.

Each rule is tried at each entrance, alone and inside a batch, on SQLite; on PostgreSQL, which decides none of them, at
two. What is refused is a 400 that names the field, nothing of it is stored, and object, list and directory serve
afterwards; nothing ever is a 5xx.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.client import Answer, Client
from tests.support.databases import BASICAUTH, DATABASES, database_url, make_app

B = "/buckets/b"
C = f"{B}/collections/c"
G = f"{B}/groups/g"
R = f"{C}/records/r"
ACCOUNT = "/accounts/eve"
OF_KIND: Mapping[str, str] = {"bucket": B, "collection": C, "group": G, "record": R, "account": ACCOUNT}
SETTINGS: Mapping[str, Any] = {
    **BASICAUTH,
    "kinto.includes": "kinto.plugins.accounts",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.account_write_principals": "system.Everyone",
    "kinto.bucket_read_principals": "system.Everyone",
    "kinto.account_bcrypt_rounds": 4,
}

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
DAYS = 86_400_000


@dataclass(frozen=True)
class Entrance:
    """One way in: a request that brings *data* or *permissions* to the object *uri*."""

    method: str
    content_type: str
    body: Callable[[str, dict[str, Any], dict[str, Any]], Any]
    on_list: bool = False
    creates: bool = False

    def request(self, uri: str, data: dict[str, Any], permissions: dict[str, Any]) -> dict[str, Any]:
        """Return the request as a member of a batch has it."""
        uri = f"{uri}-new" if self.creates else uri
        path = uri.rpartition("/")[0] if self.on_list else uri
        if self.method == "DELETE":
            path = f"{path}?last_modified={data['last_modified']}"
            return {"method": "DELETE", "path": path}
        return {
            "method": self.method,
            "path": path,
            "body": self.body(uri.rpartition("/")[2], data, permissions),
            "headers": {"Content-Type": self.content_type},
        }


def _plain(object_id: str, data: dict[str, Any], permissions: dict[str, Any]) -> Any:
    return {"data": data, "permissions": permissions}


def _with_id(object_id: str, data: dict[str, Any], permissions: dict[str, Any]) -> Any:
    return {"data": {"id": object_id, **data}, "permissions": permissions}


def _operations(op: str) -> Callable[[str, dict[str, Any], dict[str, Any]], Any]:
    def body(object_id: str, data: dict[str, Any], permissions: dict[str, Any]) -> Any:
        members = [{"op": op, "path": f"/data/{name}", "value": value} for name, value in data.items()]
        principals = [
            {"op": "add", "path": f"/permissions/{name}/{principal}"}
            for name, listed in permissions.items()
            for principal in listed
        ]
        return [*members, *principals]

    return body


def _from_elsewhere(op: str) -> Callable[[str, dict[str, Any], dict[str, Any]], Any]:
    """Bring a value to its member by way of another member."""

    def body(object_id: str, data: dict[str, Any], permissions: dict[str, Any]) -> Any:
        added = [{"op": "add", "path": f"/data/other-{name}", "value": value} for name, value in data.items()]
        moved = [{"op": op, "from": f"/data/other-{name}", "path": f"/data/{name}"} for name in data]
        return [*added, *moved, *_operations("add")(object_id, {}, permissions)]

    return body


ENTRANCES: dict[str, Entrance] = {
    "PUT": Entrance("PUT", "application/json", _plain),
    "PUT that creates": Entrance("PUT", "application/json", _plain, creates=True),
    "POST": Entrance("POST", "application/json", _with_id, on_list=True, creates=True),
    "PATCH": Entrance("PATCH", "application/json", _plain),
    "merge patch": Entrance("PATCH", MERGE, _plain),
    "JSON Patch, add": Entrance("PATCH", JSON_PATCH, _operations("add")),
    "JSON Patch, replace": Entrance("PATCH", JSON_PATCH, _operations("replace")),
    "JSON Patch, copy": Entrance("PATCH", JSON_PATCH, _from_elsewhere("copy")),
    "JSON Patch, move": Entrance("PATCH", JSON_PATCH, _from_elsewhere("move")),
}
DELETE = Entrance("DELETE", "", _plain)
ON_POSTGRESQL = ("PUT that creates", "JSON Patch, add")

every_entrance = pytest.mark.parametrize(
    ("client", "entrance"),
    [
        pytest.param(database, ENTRANCES[name], id=f"{database}-{name}")
        for database, names in (("sqlite", ENTRANCES), ("postgresql", ON_POSTGRESQL))
        for name in names
    ],
    indirect=["client"],
    scope="module",
)


@dataclass(frozen=True)
class Rule:
    """Values that must be refused as the member `field` of objects of some kinds, or as one of their permissions."""

    kinds: tuple[str, ...]
    field: str
    values: tuple[Any, ...]
    permissions: bool = False

    def named(self, details: list[dict[str, Any]]) -> bool:
        """Say whether a problem names the field, or the member of the body or the operation of the patch with it.

        Of a body that cannot be decoded the service knows no `data.id`, which accounts miss first.
        """
        places = [str(detail["name"]) for detail in details if detail["name"]]
        return len(places) < len(details) or any(
            self.field in place or place.split(".")[0].isdecimal() or place.startswith(("requests.", "data.id"))
            for place in places
        )


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


EVERYTHING = ("bucket", "collection", "group", "record", "account")
AHEAD = int(time.time() * 1000) + 3 * DAYS
RULES: dict[str, Rule] = {
    "a timestamp too far ahead": Rule(
        EVERYTHING, "last_modified", (AHEAD, 253370764800001, 9999999999999999, 2**63 - 1, 2**63, 2**70, 10**400)
    ),
    "a lifetime in caches": Rule(
        ("collection",),
        "cache_expires",
        (2**31, 10**12, 2**63, 10**400, 1e300, "1000000000000", "x", True, [1], {"a": 1}),
    ),
    "U+0000": Rule(EVERYTHING, "title", ("a\0b", ["\0"], {"a\0": 1})),
    "the depth of JSON": Rule(("bucket", "collection", "record"), "title", (_deep(101), _deep(400))),
    "members of groups": Rule(("group",), "members", (["x" * 1025], ["\0"], [1], "x", ["system.Everyone"], [G])),
    "the length of principals": Rule(EVERYTHING, "read", (["x" * 1025], ["é" * 513]), permissions=True),
    "the length of passwords": Rule(("account",), "password", ("x" * 73, 1, None, True, [])),
}


@pytest.fixture(scope="module", params=DATABASES)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Alice's client of a service with an object of each kind."""
    client = Client(make_app(database_url(request.param, request), SETTINGS))
    for uri in OF_KIND.values():
        data = {"password": "pw"} if uri == ACCOUNT else {"title": "before", "other": 1}
        assert client.put(uri, data).status == 201
    yield client
    client.app.extensions["kinto"].close()


def send(client: Client, members: list[dict[str, Any]]) -> list[Answer]:
    """Send requests: each in a batch with others, and the first and the last of them alone too."""
    answers = []
    for start in range(0, len(members), 20):
        answer = client.batch(*members[start : start + 20])
        if answer.status != 200:  # what is refused before any member is looked at
            answers.append(answer)
            continue
        entries = answer.json["responses"]
        answers += [Answer(one["status"], one["headers"], json.dumps(one["body"]).encode()) for one in entries]
    for member in (members[0], members[-1]):
        body, headers = member.get("body"), member.get("headers")
        answers.append(client.ask(member["method"], member["path"], body, headers))
    return answers


def state(client: Client) -> Any:
    """Return all that is stored, as it is served; every object and list must serve."""
    paths = [path for uri in OF_KIND.values() for path in (uri, uri.rpartition("/")[0])]
    entries = client.batch(*({"path": path} for path in paths)).json["responses"]
    assert [entry["status"] for entry in entries] == [200] * len(paths)
    etag = client.as_(None).get("/buckets").etag
    assert client.get(f"/buckets?_since={etag}").data == []
    return [entry["body"] for entry in entries]


@every_entrance
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_value_is_refused_at_every_entrance(client: Client, rule: Rule, entrance: Entrance) -> None:
    before = state(client)
    members = []
    for kind in rule.kinds:
        data = {"password": "pw"} if kind == "account" and entrance.method in ("PUT", "POST") else {}
        for value in rule.values:
            brought = {rule.field: value}
            body = (data, brought) if rule.permissions else ({**data, **brought}, {})
            members.append(entrance.request(OF_KIND[kind], *body))

    answers = send(client, members)

    assert {answer.status for answer in answers} == {400}, [str(one.body)[:200] for one in answers if one.status != 400]
    assert [answer.body for answer in answers if not rule.named(answer.json["details"])] == []
    assert state(client) == before


IGNORED = (True, False, None, 1.5, 1e300, -5, -(2**70), "9999999999999999", "x", [2**70], {"a": 1})


@every_entrance
def test_what_is_no_timestamp_is_dropped_at_every_entrance(client: Client, entrance: Entrance) -> None:
    """C-PRE-10, C-OBJ-75: the server's own takes its place."""
    for value in IGNORED:
        uri = f"{R}-{len(str(value))}" if entrance.creates else R
        answers = send(client, [entrance.request(uri, {"last_modified": value}, {})])

        for answer in answers:
            assert answer.status in (200, 201), (value, answer.body)
            stamped = answer.json["data"]["last_modified"]
            assert type(stamped) is int
            assert abs(stamped - time.time() * 1000) < 600_000
    state(client)


@pytest.mark.parametrize("uri", OF_KIND.values(), ids=OF_KIND.keys())
def test_a_deletion_at_a_time_that_cannot_be_is_refused(client: Client, uri: str) -> None:
    """C-OBJ-48: the same bound as for objects."""
    before = state(client)
    values = (*RULES["a timestamp too far ahead"].values, -5, 1.5, "true", "null", "", "x", '"')

    answers = send(client, [DELETE.request(uri, {"last_modified": value}, {}) for value in values])

    assert {answer.status for answer in answers} == {400}
    assert {answer.json["details"][0]["name"] for answer in answers} == {"last_modified"}
    assert state(client) == before


@pytest.mark.parametrize("uri", OF_KIND.values(), ids=OF_KIND.keys())
def test_an_id_that_cannot_be_is_refused_in_url_and_body(client: Client, uri: str) -> None:
    """C-OBJ-5 as amended; nothing is said of an account that cannot be."""
    before, list_uri = state(client), uri.rpartition("/")[0]
    members: list[dict[str, Any]] = []
    for object_id in ("x" * 256, "x" * 5000, "a/b", "", 1, None, ["x"]):
        body = {"data": {"id": object_id, "password": "pw"}}
        members += [{"method": "POST", "path": list_uri, "body": body}, {"method": "PUT", "path": uri, "body": body}]
    for object_id in ("x" * 256, "x" * 5000):
        body = {"data": {"password": "pw"}}
        members += [{"method": method, "path": f"{list_uri}/{object_id}", "body": body} for method in ("PUT", "PATCH")]

    answers = send(client, members)

    assert {answer.status for answer in answers} <= {400, 403, 404}
    assert state(client) == before
