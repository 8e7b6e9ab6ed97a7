"""The deletion of a list costs as much for each object whatever their number: in Python, and in statements."""

from __future__ import annotations

import cProfile
import pstats
from typing import Any

import pytest

from tests.api.conftest import ClientMaker
from tests.support.client import Client
from tests.test_budget import counted

B, C = "/buckets/b", "/buckets/b/collections/c"
FEW, MANY = 150, 600
FIXED_CALLS = 20_000
"""What a request costs however few objects it deletes, where no statement has to be compiled."""

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "records with readers": (f"{C}/records", {"permissions": {"read": ["bob", f"{B}/groups/g"]}}),
    "groups with members": (f"{B}/groups", {"data": {"members": ["bob", "eve"]}, "permissions": {"read": ["bob"]}}),
    "collections": (f"{B}/collections", {"permissions": {"read": ["bob"]}}),
}


@pytest.mark.parametrize(("list_uri", "body"), KINDS.values(), ids=KINDS.keys())
def test_the_deletion_of_a_list_is_linear(client_with: ClientMaker, list_uri: str, body: dict[str, Any]) -> None:
    """The first deletion compiles the statements."""
    client = client_with({"kinto.batch_max_requests": MANY}, kept=True)

    _, _ = _delete(client, list_uri, body, 5)
    few, few_statements = _delete(client, list_uri, body, FEW)
    many, many_statements = _delete(client, list_uri, body, MANY)

    assert many <= few * MANY / FEW + FIXED_CALLS, f"{few} calls for {FEW} objects, {many} for {MANY}"
    # One statement empties 200 collections, or ends 10,000 grants.
    assert many_statements <= few_statements + (6 if list_uri.endswith("/collections") else 0)


def _delete(client: Client, list_uri: str, body: dict[str, Any], number: int) -> tuple[int, int]:
    """Make objects and delete them; return how many calls and how many statements the deletion took."""
    for uri in (B, C):
        client.put(uri)
    client.delete(list_uri)
    client.put(B)
    if list_uri.startswith(C):
        client.put(C)
    made = client.batch(*({"method": "PUT", "path": f"{list_uri}/x{each}", "body": body} for each in range(number)))
    assert all(entry["status"] == 201 for entry in made.json["responses"])
    profile = cProfile.Profile()
    with counted(client) as counter:
        profile.enable()
        answer = client.delete(list_uri)
        profile.disable()
    assert (answer.status, len(answer.data)) == (200, number)
    calls: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return calls, len(counter.statements)
