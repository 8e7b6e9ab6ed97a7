"""Ids that no object can have, of objects and of what is around them: status and details as Kinto 26.5 answers.

Compared with Kinto over HTTP. The id `*` is not among them: Kinto takes it for any. Differences: a path with U+0000 or
U+FFFD is refused before (C-URL-25), ids have at most 255 characters (DECISIONS) and do not end with a line break.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backends import Json
from tests.api.conftest import ClientMaker
from tests.support.client import Answer, Client

IDS: dict[str, tuple[str, str]] = {
    "too long": ("a" * 256, "a" * 256),
    "a dot": (".", "."),
    "two dots": ("..", ".."),
    "a dot inside": ("a.b", "a.b"),
    "a dash in front": ("-a", "-a"),
    "a letter beyond ASCII": ("%C3%A9", "é"),
    "a letter beyond ASCII inside": ("a%C3%A9", "aé"),
    "a letter beyond the basic plane": ("%F0%9F%98%80", "\U0001f600"),
    "a space": ("a%20b", "a b"),
    "a line break at its end": ("a%0A", "a\n"),
    "a plus": ("a+b", "a+b"),
    "a tilde": ("a~", "a~"),
    "an at": ("a@b", "a@b"),
    "a percent sign": ("%25", "%"),
    "percent-encoded percent-encoding": ("%2561", "%61"),
    "a question mark": ("a%3Fb", "a?b"),
    "a hash": ("a%23b", "a#b"),
    "a semicolon": ("a;b", "a;b"),
    "a backslash": ("a%5Cb", "a\\b"),
}
OBJECTS = ("/buckets/{}", "/buckets/b/groups/{}", "/buckets/b/collections/{}", "/buckets/b/collections/c/records/{}")
IN_BUCKET = (
    "/buckets/{}/groups",
    "/buckets/{}/groups/g",
    "/buckets/{}/collections",
    "/buckets/{}/collections/c",
    "/buckets/{}/collections/c/records",
    "/buckets/{}/collections/c/records/r",
    "/buckets/{}/collections/{}/records",
    "/buckets/{}/collections/{}/records/{}",
)
IN_COLLECTION = ("/buckets/b/collections/{}/records", "/buckets/b/collections/{}/records/r")
FORMS = (*OBJECTS, *IN_BUCKET, *IN_COLLECTION)
BODY: Json = {"data": {"members": []}}


@pytest.fixture
def client(client_with: ClientMaker) -> Client:
    """Return alice's client, who may read all buckets, of a service with one object of each kind."""
    client = client_with({"kinto.bucket_read_principals": "system.Authenticated"})
    for path in ("/buckets/b", "/buckets/b/collections/c", "/buckets/b/collections/c/records/r"):
        client.put(path)
    client.put("/buckets/b/groups/g", {"members": []})
    return client


def _answers(client: Client, form: str, sent: str) -> dict[str, tuple[int, Any]]:
    """Return status and details of each method, which a member of a batch gets as well."""
    on_list = form.endswith("s")
    path = form.replace("{}", sent)
    methods = ("GET", "HEAD", "DELETE", "POST") if on_list else ("GET", "HEAD", "DELETE", "PUT", "PATCH")
    bodies = {method: {"body": BODY} if method in ("PUT", "POST", "PATCH") else {} for method in methods}
    batch = client.batch(*({"method": method, "path": path, **bodies[method]} for method in methods))
    answers: dict[str, tuple[int, Any]] = {}
    for method, entry in zip(methods, batch.json["responses"], strict=True):
        single = client.ask(method, path, bodies[method].get("body"))
        assert entry["status"] == single.status
        assert (entry["body"] or None) == single.json
        answers[method] = single.status, _details(single)
    return answers


def _details(answer: Answer) -> Any:
    return (answer.json or {}).get("details")


def _ids(client: Client, form: str) -> Iterator[tuple[str, str, str]]:
    """Yield names and ids, percent-encoded and decoded, to ask for in a form: half on SQLite, a sixth on PostgreSQL.

    The answers do not depend on the database. Others in each next form, so that each id meets both databases and forms
    of all kinds.
    """
    on_postgresql = client.app.extensions["kinto"].storage.reading.dialect.name == "postgresql"
    turn = FORMS.index(form)
    for number, (name, (sent, object_id)) in enumerate(IDS.items()):
        if (number + turn) % (6 if on_postgresql else 2) == 0:
            yield name, sent, object_id


@pytest.mark.parametrize("form", OBJECTS)
def test_an_object_cannot_have(client: Client, form: str, subtests: pytest.Subtests) -> None:
    """C-OBJ-5, C-ERR-35."""
    refused = 400, [{"location": "path", "name": None, "description": "Invalid object id"}]

    for name, sent, _ in _ids(client, form):
        with subtests.test(name):
            answers = _answers(client, form, sent)

            if form == "/buckets/{}":
                # Kinto answers 403 to those whom settings let read, and no more.
                del answers["DELETE"], answers["PATCH"]
            assert answers.pop("HEAD") == (400, None)
            assert answers == dict.fromkeys(answers, refused)


@pytest.mark.parametrize("form", IN_BUCKET)
def test_there_is_nothing_in_a_bucket_called(client: Client, form: str, subtests: pytest.Subtests) -> None:
    """C-PERM-9: nobody may read there; what would be written has no parent."""
    for name, sent, object_id in _ids(client, form):
        with subtests.test(name):
            missing = 404, {"id": object_id, "resource_name": "bucket"}

            answers = _answers(client, form, sent)

            assert answers["GET"] == answers["HEAD"] == (403, None)
            assert answers["DELETE"] == ((403, None) if form.endswith("s") else missing)
            assert all(answers[method] == missing for method in ("PUT", "POST") if method in answers)


@pytest.mark.parametrize("form", IN_COLLECTION)
def test_there_is_nothing_in_a_collection_called(client: Client, form: str, subtests: pytest.Subtests) -> None:
    """C-OBJ-30: whoever owns the bucket is told that the collection is missing."""
    for name, sent, object_id in _ids(client, form):
        with subtests.test(name):
            missing = 404, {"id": object_id, "resource_name": "collection"}

            answers = _answers(client, form, sent)

            assert answers.pop("HEAD") == (404, None)
            assert answers == dict.fromkeys(answers, missing)


@pytest.mark.parametrize("form", FORMS)
def test_no_path_has(client: Client, form: str, subtests: pytest.Subtests) -> None:
    """C-URL-24, C-URL-25: refused before anything is looked for."""
    for sent in ("%00", "a%00", "%EF%BF%BD", "%FF", "a%FF"):
        with subtests.test(sent):
            answers = _answers(client, form, sent)

            assert answers == dict.fromkeys(answers, (400, None))
