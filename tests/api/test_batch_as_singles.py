"""A batch answers what its members would answer one by one, whatever they are (C-BATCH-21, C-OBJ-61, C-BATCH-14)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import ClientMaker
from tests.client import Answer, Client, basic, user_id

BUCKET, OTHER = "/buckets/b", "/buckets/b2"
BOB = user_id("bob")
_TIMESTAMP = re.compile(r"1[5-9]\d{11}")
_BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"data": {"n": 1}},
    {"data": {"o": {"a": None}}, "permissions": {"read": [BOB]}},
    {"permissions": {"write": [BOB, "/buckets/b/groups/g"]}},
    {"permissions": {"read": ["system.Everyone"]}},
    {"data": {"members": ["x"]}},
)


def _members(chance: random.Random, count: int) -> Iterator[dict[str, Any]]:
    """Make up requests on a few objects, some of them below what others delete."""
    for _ in range(count):
        bucket = chance.choice((BUCKET, BUCKET, OTHER))
        collection = f"{bucket}/collections/{chance.choice('cd')}"
        path = chance.choice(
            (
                bucket,
                collection,
                collection,
                f"{bucket}/collections",
                f"{bucket}/groups/h",
                f"{collection}/records",
                *(f"{collection}/records/r{chance.randrange(3)}" for _ in range(3)),
            )
        )
        on_list = path.endswith(("s", "records"))
        methods = ("GET", "HEAD", "DELETE") if on_list else ("GET", "PUT", "PUT", "PATCH", "DELETE")
        method = chance.choice(methods)
        member: dict[str, Any] = {"method": method, "path": path}
        member["headers"] = {"Authorization": basic(chance.choice(("alice", "alice", "bob")))}
        if method in ("PUT", "PATCH"):
            member["body"] = chance.choice(_BODIES)
        yield member


def _start(client: Client) -> Client:
    client.put(BUCKET, {"a": 1}, {"read": [BOB]})
    client.put(f"{BUCKET}/collections/c", {"title": "kept"})
    client.put(f"{BUCKET}/groups/g", {"members": [BOB]})
    for number in range(2):
        client.put(f"{BUCKET}/collections/c/records/r{number}", {"n": number})
    return client


def _shown(value: Any) -> Any:
    """Leave out what differs from run to run: the timestamps."""
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner) for inner in value]
    return "timestamp" if isinstance(value, int) and _TIMESTAMP.fullmatch(str(value)) else value


def _everything(client: Client) -> list[Any]:
    """Return all that is there in the end, as alice and bob see it."""
    lists = ["/buckets", *(f"{one}/{kind}" for one in (BUCKET, OTHER) for kind in ("collections", "groups"))]
    lists += [f"{one}/collections/{id}/records" for one in (BUCKET, OTHER) for id in "cd"]
    asked = [who.get(f"{path}?_since=0&_sort=id") for path in lists for who in (client, client.as_("bob"))]
    totals = [client.head(path).headers.get("Total-Objects") for path in lists]
    return [*((answer.status, _shown(answer.json)) for answer in asked), totals]


def _single(client: Client, member: dict[str, Any]) -> Answer:
    return client.ask(member["method"], member["path"], member.get("body"), member["headers"])


@pytest.mark.parametrize("seed", range(12))
def test_a_batch_answers_as_single_requests_do(client_with: ClientMaker, seed: int) -> None:
    members = list(_members(random.Random(seed), 20))
    single = _start(client_with())
    answers = [_single(single, member) for member in members]
    expected = [(answer.status, _shown(answer.json)) for answer in answers]
    left = _everything(single)

    batched = _start(client_with())
    entries = batched.batch(*members).json["responses"]

    assert [(entry["status"], _shown(entry["body"] or None)) for entry in entries] == expected
    assert _everything(batched) == left
