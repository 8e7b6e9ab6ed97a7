"""Pages sorted by long values: `Next-Page` stays short, and what did not change meanwhile comes exactly once."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import event

from tests.api.conftest import ClientMaker
from tests.support.client import Answer, Client

LIST = "/buckets/b/collections/c/records"
LONGEST = 3_000
"""How long a `Next-Page` may be, whatever it sorts by."""
LENGTH = 3_200
"""How long a text is: longer than a whole `Next-Page` may be."""

VALUES: dict[str, list[Any]] = {
    "texts that differ at their beginning": [f"{n:04}{'x' * LENGTH}" for n in range(9)],
    "texts that differ at their end": [f"{'x' * LENGTH}{n:04}" for n in range(9)],
    "texts that are beginnings of others": ["x" * n for n in (0, 1, 127, 128, 129, 1_000, 2_000, LENGTH, LENGTH + 1)],
    "equal texts": ["x" * LENGTH] * 9,
    "texts at the cut": ["a" * 128 + last * LENGTH for last in ("", "\t", "a", "b", "é", "\uffff", "\U0010ffff")],
    "texts beyond the basic plane": [("\U0010ffff" * n).ljust(LENGTH, "a") for n in (1, 127, 128, 129, 2_000)],
    "pairs of equal texts": [f"{n // 2}{'x' * LENGTH}" for n in range(9)],
    "arrays": [["x" * LENGTH, n] for n in range(9)],
    "objects": [{"a": "x" * LENGTH, "b": n} for n in range(9)],
    "long integers": [10**3_200 + n for n in range(5)],
    "all kinds": ["x" * LENGTH, ["x" * LENGTH], 1, None, {"a": "x" * LENGTH}, "x" * LENGTH + "y", True, 10**3_200, ""],
}
SORTS = ("f", "-f,id", "-g,f,-id")
each_values = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client of an empty list."""
    client = client_with()
    client.put("/buckets/b")
    client.put("/buckets/b/collections/c")
    return client


def _fill(client: Client, values: list[Any]) -> None:
    """Write the objects of the list, whatever became of them before."""
    shuffled = list(enumerate(values))
    random.Random(0).shuffle(shuffled)
    bodies = {f"{LIST}/r{number}": {"data": {"f": value, "g": number % 2}} for number, value in shuffled}
    batch = client.batch(*({"method": "PUT", "path": path, "body": body} for path, body in bodies.items()))
    assert {entry["status"] for entry in batch.json["responses"]} <= {200, 201}


def _next(answer: Answer) -> str | None:
    url = answer.headers.get("Next-Page")
    if url is None:
        return None
    assert len(url) <= LONGEST
    return url.partition("localhost")[2]


def _ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [each["id"] for each in answer.data]


def _pages(client: Client, path: str, meanwhile: Callable[[list[str]], None] = lambda ids: None) -> list[list[str]]:
    pages, following = [], path
    while following:
        answer = client.get(following)
        pages.append(_ids(answer))
        following = _next(answer) or ""
        meanwhile(pages[-1])
    return pages


def _flat(pages: list[list[str]]) -> list[str]:
    return [object_id for page in pages for object_id in page]


@each_values
def test_pages_are_the_list(client: Client, values: list[Any], subtests: pytest.Subtests) -> None:
    _fill(client, values)

    for sort in SORTS:
        with subtests.test(sort):
            whole = _ids(client.get(f"{LIST}?_sort={sort}"))

            assert len(whole) == len(values)
            assert _flat(_pages(client, f"{LIST}?_sort={sort}&_limit=2")) == whole


def _change(client: Client, object_id: str) -> None:
    """Change the value to the greatest: an array, which comes after every text."""
    client.patch(f"{LIST}/{object_id}", {"f": ["z" * LENGTH]})


def _delete(client: Client, object_id: str) -> None:
    client.delete(f"{LIST}/{object_id}")


LAST, WHOLE = slice(-1, None), slice(0, None)
TOUCHED = {
    "changed": (_change, {"f": LAST, "-f,id": WHOLE}),
    "deleted": (_delete, {"f": WHOLE, "-f,id": LAST}),
}
"""What becomes of which objects of each page while a list is read by a sort: every two of the three meet."""


@pytest.mark.parametrize("name", [name for name in VALUES if "texts" in name or name == "all kinds"])
@pytest.mark.parametrize(("touch", "objects"), TOUCHED.values(), ids=TOUCHED.keys())
def test_what_does_not_change_comes_once_when_a_page_was(
    client: Client,
    name: str,
    touch: Callable[[Client, str], None],
    objects: Mapping[str, slice],
    subtests: pytest.Subtests,
) -> None:
    values = VALUES[name]
    for sort, which in objects.items():
        with subtests.test(sort):
            _fill(client, values)
            whole = _ids(client.get(f"{LIST}?_sort={sort}"))
            touched: list[str] = []

            def meanwhile(ids: list[str], which: slice = which, touched: list[str] = touched) -> None:
                for object_id in ids[which]:
                    if object_id not in touched:
                        touched.append(object_id)
                        touch(client, object_id)

            records = _flat(_pages(client, f"{LIST}?_sort={sort}&_limit=2", meanwhile))

            assert [object_id for object_id in records if object_id not in touched] == [
                object_id for object_id in whole if object_id not in touched
            ]
            assert set(records) == set(whole)


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_page_begins_at_the_first_neighbour_that_is_left(client: Client, gone: int) -> None:
    """The next object, the last, the last but one."""
    _fill(client, VALUES["texts that differ at their end"])
    first = client.get(f"{LIST}?_sort=f&_limit=4")
    following = _next(first)
    for object_id in ("r4", "r3", "r2")[:gone]:
        client.delete(f"{LIST}/{object_id}")

    assert _ids(client.get(str(following))) == ["r5", "r6", "r7", "r8"]


def test_a_token_is_refused_when_none_of_its_objects_is_left(client: Client) -> None:
    """Nobody can say any more where the page begins; to leave objects out would be worse."""
    _fill(client, VALUES["texts that differ at their end"])
    following = _next(client.get(f"{LIST}?_sort=f&_limit=4"))
    for object_id in ("r4", "r3", "r2", "r1"):
        client.delete(f"{LIST}/{object_id}")

    answer = client.get(str(following))

    assert (answer.status, answer.json["message"]) == (400, "querystring: _token has invalid content")


def test_a_token_of_another_sort_is_refused(client: Client) -> None:
    _fill(client, VALUES["arrays"])
    following = str(_next(client.get(f"{LIST}?_sort=f&_limit=4")))

    assert client.get(following.replace("_sort=f", "_sort=-f")).status == 400


def test_a_stranger_is_forbidden_before_a_token_is_looked_at(client: Client) -> None:
    _fill(client, VALUES["arrays"])
    following = str(_next(client.get(f"{LIST}?_sort=f&_limit=4")))

    assert client.as_("eve").get(following).status == 403
    assert client.as_(None).get(following).status == 401


@pytest.mark.parametrize("name", ["equal texts", "texts at the cut", "texts beyond the basic plane", "all kinds"])
def test_pages_are_deleted_one_after_the_other(client: Client, name: str, subtests: pytest.Subtests) -> None:
    """C-OBJ-53, C-OBJ-54: by the tokens of reads, which `test_pages_are_the_list` has of all values."""
    values = VALUES[name]
    for sort in SORTS:
        with subtests.test(sort):
            _fill(client, values)
            whole = _ids(client.get(f"{LIST}?_sort={sort}"))
            deleted: list[Any] = []
            following = f"{LIST}?_sort={sort}&_limit=2"
            while following:
                answer = client.delete(following)
                page = _ids(answer)
                assert sorted(page) == sorted(whole[len(deleted) : len(deleted) + 2])
                deleted += page
                following = _next(answer) or ""

            assert sorted(deleted) == sorted(whole)
            assert len(deleted) == len(values)


def test_a_deletion_goes_on_when_the_next_object_is_gone(client: Client) -> None:
    """All that was before it is deleted: what still matches begins the next page (C-OBJ-54)."""
    _fill(client, VALUES["texts that differ at their end"])
    following = str(_next(client.delete(f"{LIST}?_sort=f&_limit=4")))
    client.delete(f"{LIST}/r4")

    assert sorted(_ids(client.delete(following))) == ["r5", "r6", "r7", "r8"]


@pytest.mark.parametrize(
    ("values", "statements"),
    [
        pytest.param(list("abcdef"), 1, id="short"),
        pytest.param(VALUES["texts that differ at their beginning"], 1, id="long, but different at the beginning"),
        pytest.param(VALUES["texts that differ at their end"], 2, id="long and alike"),
    ],
)
def test_a_page_after_long_values_that_are_alike_costs_one_more_statement(
    client: Client, values: list[Any], statements: int
) -> None:
    _fill(client, values)
    following = str(_next(client.get(f"{LIST}?_sort=f&_limit=2")))
    engine, sent = client.app.extensions["kinto"].storage.reading, []
    event.listen(engine, "before_cursor_execute", count := lambda *arguments: sent.append(1))

    client.get(following)

    event.remove(engine, "before_cursor_execute", count)
    assert len(sent) == statements


def test_a_list_of_buckets_pages_by_long_values(client: Client) -> None:
    for object_id in "xyz":
        client.put(f"/buckets/{object_id}", {"f": "x" * LENGTH + object_id})

    assert _flat(_pages(client, "/buckets?_sort=f&_limit=1&has_f=true")) == ["x", "y", "z"]


@pytest.mark.parametrize(
    "huge", [2**64 + 1, 10**310, 10**4_000], ids=["beyond 64 bits", "beyond floats", "4,000 digits"]
)
@pytest.mark.parametrize(
    "query",
    [
        "f=a",
        "like_f=a",
        "not_f=b",
        "in_f=a,b",
        "has_f=true",
        "contains_g=1.5",
        "contains_any_g=1.5",
        "min_h=0.5",
        "_sort=h,g",
    ],
)
def test_a_long_integer_elsewhere_in_the_object_does_no_harm(client: Client, query: str, huge: int) -> None:
    client.put(f"{LIST}/r", {"f": "a", "g": [1.5], "h": 0.5, "huge": huge, "deep": {"huge": [huge]}})

    answer = client.get(f"{LIST}?{query}")
    assert (answer.status, [each["id"] for each in answer.data]) == (200, ["r"])
    assert answer.data[0]["huge"] == huge
