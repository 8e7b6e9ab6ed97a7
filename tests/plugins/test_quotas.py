"""Quotas of buckets and collections (plugins contract, 9.1)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, delete, event, insert, select

from app.factory import create_app
from app.settings import SettingError
from backends import Json
from backends.codec import dumps
from backends.storage import Stored
from blueprints.plugins.quotas.rebuilding import rebuild_quotas
from blueprints.plugins.quotas.sizes import size_of, size_of_document
from blueprints.plugins.quotas.tables import NUMBERS, quotas
from scripts.command import main
from tests.plugins.conftest import ClientMaker
from tests.support.client import Client
from tests.support.databases import BASICAUTH
from tests.support.statements import Recorder

B = "/buckets/b"
C = f"{B}/collections/c"
RECORDS = f"{C}/records"
INCLUDED = {"kinto.includes": "kinto.plugins.quotas"}
ROWS = select(quotas.c.uri, *(quotas.c[name] for name in NUMBERS))


def stored(client: Client) -> dict[str, tuple[int, ...]]:
    """Return the numbers of all buckets and collections that are not empty."""
    rows = client.app.extensions["kinto"].storage.execute(ROWS)
    return {uri: tuple(numbers) for uri, *numbers in rows if any(numbers)}


def expected(client: Client) -> dict[str, tuple[int, ...]]:
    """Return the same, counted over HTTP."""
    numbers: dict[str, tuple[int, ...]] = {}
    for bucket in client.get("/buckets").data:
        uri = f"/buckets/{bucket['id']}"
        groups, collections = client.get(f"{uri}/groups").data, client.get(f"{uri}/collections").data
        sizes, records = sum(map(size_of_document, [bucket, *groups, *collections])), 0
        for collection in collections:
            inside = client.get(f"{uri}/collections/{collection['id']}/records").data
            own = sum(map(size_of_document, inside))
            numbers[f"{uri}/collections/{collection['id']}"] = 0, len(inside), own + size_of_document(collection)
            sizes, records = sizes + own, records + len(inside)
        numbers[uri] = len(collections), records, sizes
    return numbers


def limited(client_with: ClientMaker, **limits: int) -> Client:
    """Return a client of a service with limits, and with an empty collection."""
    client = client_with({**INCLUDED, **{f"kinto.quotas.{name}": str(value) for name, value in limits.items()}})
    client.put(B)
    client.put(C)
    return client


def test_the_capability_has_the_texts_of_kinto(client_with: ClientMaker) -> None:
    """P-QUOTA-1, P-API-4."""
    assert client_with(dict(INCLUDED)).get("/").json["capabilities"]["quotas"] == {
        "description": "Quotas Management on buckets and collections.",
        "url": "https://kinto.readthedocs.io",
    }


def test_the_metric_has_the_name_of_kinto(client_with: ClientMaker) -> None:
    """P-QUOTA-1."""
    client = client_with({"kinto.includes": "kinto.plugins.prometheus kinto.plugins.quotas"})

    client.put(B)

    assert "kinto_plugins_quotas_count 1.0" in client.get("/__metrics__").body.decode()


OBJECT = 'Maximum bytes per object exceeded " "({} > {} Bytes.'
ITEMS = "{} maximum number of objects exceeded (2 > 1 objects)."
LIMITS: dict[str, tuple[dict[str, int], str, str]] = {
    "bytes in a bucket": (
        {"bucket_max_bytes": 120},
        "r",
        "Bucket maximum total size exceeded ({bucket} > 120 Bytes). ",
    ),
    "records in a bucket": ({"bucket_max_items": 1}, "", ITEMS.format("Bucket")),
    "bytes in a collection": (
        {"collection_max_bytes": 90},
        "r",
        "Collection maximum size exceeded ({collection} > 90 Bytes).",
    ),
    "records in a collection": (
        {"collection_max_items": 1},
        "",
        ITEMS.format("Collection"),
    ),
    "bytes of an object": ({"bucket_max_bytes_per_item": 70}, "r" * 30, OBJECT.format("{object}", 70)),
    "one bucket by its id": (
        {"bucket_max_items": 9, "bucket_b_max_items": 1},
        "",
        ITEMS.format("Bucket"),
    ),
    "the collections of a bucket": (
        {"collection_max_items": 9, "collection_b_max_items": 1},
        "",
        ITEMS.format("Collection"),
    ),
    "one collection by its id": (
        {"collection_b_max_items": 9, "collection_b_c_max_items": 1},
        "",
        ITEMS.format("Collection"),
    ),
    "bytes of an object in a collection": (
        {"bucket_b_max_bytes_per_item": 999, "collection_max_bytes_per_item": 70},
        "r" * 30,
        OBJECT.format("{object}", 70),
    ),
}


@pytest.mark.parametrize(("limits", "text", "message"), LIMITS.values(), ids=LIMITS.keys())
def test_a_request_is_undone_that_exceeds_the_limit_of(
    client_with: ClientMaker, limits: dict[str, int], text: str, message: str
) -> None:
    """P-QUOTA-1: 507, errno 121, and Kinto's message; the whole batch is undone, and deletions are allowed."""
    client = limited(client_with, **limits)
    if not text:
        client.put(f"{RECORDS}/first")
    before, record = stored(client), {"id": "new", "text": text, "last_modified": 1234567890123}
    grown = {uri: numbers[2] + size_of_document(record) for uri, numbers in before.items()}

    answer = client.batch(
        {"method": "PUT", "path": f"{B}/groups/g", "body": {"data": {"members": []}}},
        {"method": "DELETE", "path": f"{B}/groups/g"},
        {"method": "PUT", "path": f"{RECORDS}/new", "body": {"data": {"text": text}}},
    )

    assert (answer.status, answer.json["errno"], answer.json["error"]) == (507, 121, "Insufficient Storage")
    numbers = {"bucket": grown[B], "collection": grown[C], "object": size_of_document(record)}
    assert answer.json["message"] == message.format(**numbers)
    assert client.get(f"{RECORDS}/new").status == 404
    assert stored(client) == before == expected(client)
    assert client.delete(RECORDS).status == 200
    assert client.delete(C).status == 200


@pytest.mark.parametrize(
    ("value", "text"),
    {
        "an exponent": (1e16, "10000000000000000"),
        "a negative exponent": (1e-7, "1e-07"),
        "a small number that a database may write with zeros": (1e-5, "1e-05"),
        "negative zero": (-0.0, "0.0"),
        "an integer beyond 64 bits": (2**70, str(2**70)),
        "characters that are escaped": ('é\x7f\n"', r'"\u00e9\u007f\n\""'),
        "text that looks like another form": ('": 1e5 -0.0', r'"\": 1e5 -0.0"'),
    }.values(),
)
def test_the_size_of_an_object_does_not_depend_on_how_its_text_is_stored(value: Json, text: str) -> None:
    document, size = {"id": "r", "value": value}, len('{"id":"r","value":}') + len(text)
    texts = dumps(document), json.dumps(document), json.dumps(document, ensure_ascii=False, separators=(",", ":"))

    sizes = [size_of(Stored(f"{RECORDS}/r", 5, deleted=False, born=5, text=stored)) for stored in texts]

    assert [size_of_document(document), *sizes] == [size] * 4


def test_a_limit_is_reached_exactly(client_with: ClientMaker) -> None:
    """P-QUOTA-1: an update counts by its difference, a deletion gives back."""
    client = limited(client_with, bucket_max_items=2)

    assert [client.put(f"{RECORDS}/{name}").status for name in "abac"] == [201, 201, 200, 507]
    client.delete(f"{RECORDS}/a")
    assert client.put(f"{RECORDS}/c").status == 201

    assert stored(client)[B][1] == 2


def on_same_data(client: Client, settings: dict[str, str]) -> Client:
    """Return a client of another service on the data of a client's service."""
    url = client.app.extensions["kinto"].storage.reading.url.render_as_string(hide_password=False)
    return Client(create_app({**BASICAUTH, **settings, "kinto.storage_url": url.replace("+psycopg2", "")}))


@pytest.mark.parametrize("grown", [B, f"{B}/groups/g", f"{B}/collections/other", f"{RECORDS}/r"])
@pytest.mark.parametrize("deleted", [C, f"{B}/collections"])
def test_a_batch_that_also_deletes_collections_is_undone_that_exceeds_a_limit(
    client_with: ClientMaker, deleted: str, grown: str
) -> None:
    """P-QUOTA-1: whatever grows, also the bucket alone."""
    client = limited(client_with, bucket_max_bytes=500)
    before = stored(client)

    answer = client.batch(
        {"method": "DELETE", "path": deleted},
        {"method": "PUT", "path": C if grown.startswith(RECORDS) else B},
        {"method": "PUT", "path": grown, "body": {"data": {"members": [], "text": "r" * 500}}},
    )

    assert answer.status == 507
    assert stored(client) == before == expected(client)


@pytest.mark.parametrize("name", ["bucket_max_bytes", "collection_max_bytes", "bucket_max_bytes_per_item"])
def test_above_a_limit_that_was_lowered_nothing_grows_and_all_else_is_allowed(
    client_with: ClientMaker, name: str
) -> None:
    """P-QUOTA-1: also what shrinks, and permissions alone."""
    before = limited(client_with)
    before.put(f"{RECORDS}/r", {"text": "four"})
    before.put(f"{B}/groups/g", {"members": [before.id, "basicauth:x"]})
    settings = {f"kinto.quotas.{name}": "1", "kinto.user-data_delete_principals": "system.Authenticated"}
    client = on_same_data(before, {**INCLUDED, **settings})

    requests: list[tuple[int, str, str, Any]] = [
        (507, "PUT", f"{RECORDS}/r", {"data": {"text": "longer"}}),
        (507, "PUT", f"{RECORDS}/new", {}),
        (200, "PUT", f"{RECORDS}/r", {"data": {"text": "five"}}),
        (200, "PATCH", f"{RECORDS}/r", {"permissions": {"read": ["system.Everyone"]}}),
        (200, "PATCH", C, {"permissions": {"read": ["system.Everyone"]}}),
        (200, "PUT", f"{RECORDS}/r", {"data": {"text": "two"}}),
        (200, "DELETE", "/__user_data__/basicauth:x", None),
        (200, "DELETE", f"{RECORDS}/r", None),
        (200, "DELETE", B, None),
    ]
    for status, method, path, body in requests:
        assert client.ask(method, path, body).status == status, (method, path, body)
    client.app.extensions["kinto"].close()


ACTIONS: dict[str, Any] = {
    "creates and updates": [
        ("PUT", f"{C}2", {"data": {"t": "é\U0001f600"}}),
        ("PATCH", f"{RECORDS}/1", {"data": {"t": 1e22}}),
    ],
    "deletes a record": [("DELETE", f"{RECORDS}/1", None), ("DELETE", f"{RECORDS}/1", None)],
    "deletes all records": [("DELETE", RECORDS, None)],
    "deletes a page of records": [("DELETE", f"{RECORDS}?_limit=1", None)],
    "deletes a collection": [("DELETE", C, None)],
    "deletes a collection and makes it again": [("DELETE", C, None), ("PUT", C, None), ("PUT", f"{RECORDS}/9", None)],
    "makes a collection, fills and deletes it": [
        ("PUT", f"{C}3", None),
        ("PUT", f"{C}3/records/1", None),
        ("DELETE", f"{C}3", None),
    ],
    "makes a bucket, and in it a collection that it deletes": [
        ("PUT", "/buckets/new", {"data": {"t": "x"}}),
        ("PUT", "/buckets/new/collections/n", None),
        ("DELETE", "/buckets/new/collections/n", None),
    ],
    "makes a bucket again, and in it a collection that it deletes": [
        ("DELETE", B, None),
        ("PUT", B, {"data": {"t": "x"}}),
        ("PUT", C, None),
        ("PUT", f"{RECORDS}/9", None),
        ("DELETE", f"{B}/collections", None),
    ],
    "deletes all collections, and writes elsewhere": [
        ("DELETE", f"{B}/collections", None),
        ("PUT", "/buckets/other/collections/o/records/8", None),
    ],
    "deletes a bucket": [("DELETE", B, None)],
    "deletes a bucket and makes it again": [
        ("PUT", f"{RECORDS}/9", None),
        ("DELETE", B, None),
        ("PUT", B, None),
        ("PUT", C, None),
    ],
    "deletes all buckets": [("DELETE", "/buckets", None)],
    "deletes a group": [("DELETE", f"{B}/groups/g", None)],
    "deletes the data of a user": [("DELETE", "/__user_data__/{alice}", None)],
}


@pytest.mark.parametrize("batched", [True, False], ids=["in a batch", "one by one"])
@pytest.mark.parametrize("requests", ACTIONS.values(), ids=ACTIONS.keys())
def test_the_numbers_are_those_of_the_objects_after_a_request_that(
    client_with: ClientMaker, requests: list[Any], batched: bool
) -> None:
    """P-QUOTA-1: exact on both databases, cascades and deletions of lists and users included."""
    settings = {
        "kinto.user_data_delete_principals": "system.Authenticated",
        "kinto.bucket_read_principals": "system.Everyone",
    }
    client = client_with({**INCLUDED, **settings})
    for bucket, name in ((B, "c"), ("/buckets/other", "o")):
        client.put(bucket, {"f": -0.0})
        client.put(f"{bucket}/collections/{name}", permissions={"read": ["system.Everyone"]})
        client.put(f"{bucket}/groups/g", {"members": [client.id, "basicauth:x"]})
        for number in range(3):
            client.put(f"{bucket}/collections/{name}/records/{number}", {"n": number})
    assert stored(client) == expected(client)

    if batched and not any(path.startswith("/__") for _, path, _ in requests):
        client.batch(*({"method": method, "path": path, "body": body or {}} for method, path, body in requests))
    else:
        for method, path, body in requests:
            client.ask(method, path.format(alice=client.id), body)

    assert stored(client) == expected(client)


def test_writers_at_once_reach_a_limit_exactly(client_with: ClientMaker) -> None:
    """P-QUOTA-1: eight writers of different collections, batches among them; nobody fails but by the limit."""
    client = limited(client_with, bucket_max_items=40)
    for number in range(4):
        client.put(f"{B}/collections/c{number}")
    statuses: list[int] = []

    def write(writer: int) -> None:
        records = f"{B}/collections/c{writer % 4}/records"
        for turn in range(6):
            paths = [f"{records}/{writer}-{turn}-{member}" for member in range(1 + turn % 2)]
            answer = client.batch(*({"method": "PUT", "path": path} for path in paths))
            statuses.append(answer.status)
            if turn == 2:
                client.delete(f"{records}/{writer}-0-0")

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert set(statuses) == {200, 507}
    assert stored(client)[B][1] in (39, 40)
    assert stored(client) == expected(client)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Keep the statements of a test."""
    recorder = Recorder(keeping=True)
    event.listen(Engine, "before_cursor_execute", recorder)
    yield recorder
    event.remove(Engine, "before_cursor_execute", recorder)


def test_a_write_costs_one_more_statement_and_a_read_none(client_with: ClientMaker, recorder: Recorder) -> None:
    """P-QUOTA-1: whatever the number of objects; a request that changes no number costs none."""
    client = limited(client_with)
    many = [{"method": "PUT", "path": f"{RECORDS}/{number}"} for number in range(20)]

    def costs(method: str, path: str, body: Any = None) -> int:
        recorder.sent.clear()
        assert client.ask(method, path, body).status < 300
        return sum("quotas" in statement for statement in recorder.sent)

    assert costs("POST", "/batch", {"requests": many}) == 1
    assert costs("PUT", f"{RECORDS}/1", {"data": {"a": 1}}) == 1
    assert costs("PUT", f"{RECORDS}/1", {"data": {"a": 2}}) == 0
    assert costs("GET", RECORDS) == costs("GET", f"{RECORDS}/1") == 0
    assert costs("DELETE", RECORDS) == 1
    assert costs("DELETE", C) == 1
    assert costs("DELETE", B) == 1


@pytest.mark.parametrize(("name", "value"), [("bucket_max_bytes", "much"), ("collection_b_c_max_items", "-1")])
def test_the_start_is_refused_for_a_limit_that_is_no_number(client_with: ClientMaker, name: str, value: str) -> None:
    """P-QUOTA-1, O-SET-13."""
    with pytest.raises(SettingError, match=f"quotas.{name}"):
        client_with({**INCLUDED, f"kinto.quotas.{name}": value})


def test_rebuild_quotas_counts_anew_while_others_write(client_with: ClientMaker) -> None:
    """P-QUOTA-1: each bucket is locked while it is counted; rows of a bucket that is gone are removed."""
    client = limited(client_with)
    service = client.app.extensions["kinto"]
    for number in range(3):
        client.put(f"{RECORDS}/{number}", {"text": "é", "n": 2.5e22})
    numbers = expected(client)
    gone = {"bucket": "/buckets/gone", "uri": "/buckets/gone", **dict.fromkeys(NUMBERS, 5)}
    service.storage.execute(delete(quotas))
    service.storage.execute(insert(quotas), [gone])

    assert CliRunner().invoke(rebuild_quotas, ["--dry-run"], obj=service).exit_code == 0
    assert stored(client) == {"/buckets/gone": (5, 5, 5)}

    writer = threading.Thread(target=lambda: [client.put(f"{RECORDS}/w{number}") for number in range(30)])
    writer.start()
    result = CliRunner().invoke(rebuild_quotas, obj=service)
    writer.join()

    assert result.exit_code == 0
    assert stored(client) == expected(client)
    assert stored(client)[B][1] == numbers[B][1] + 30


def test_buckets_from_before_the_plugin_are_counted(client_with: ClientMaker) -> None:
    """P-QUOTA-1: by `kinto migrate`, and in an embedded database also by the start, which makes the tables there."""
    client_with(dict(INCLUDED))  # empties the table, which other tests have made
    before = client_with()
    before.put(B)
    before.put(C)
    before.put(f"{RECORDS}/r", {"text": "é"})
    client = on_same_data(before, INCLUDED)
    service = client.app.extensions["kinto"]
    if not service.storage.embedded:
        service.migrate(lambda line: None)

    client.put(f"{RECORDS}/s")

    assert stored(client) == expected(client)
    assert stored(client)[B][1] == 2
    service.close()


def test_a_start_without_the_table_says_what_is_missing(
    empty_postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An embedded database makes it at the start."""
    app = create_app({**BASICAUTH, **INCLUDED, "kinto.storage_url": empty_postgresql_url})
    app.extensions["kinto"].close()

    assert "run `kinto migrate`" in caplog.text


def kinto(*arguments: str) -> tuple[int, str]:
    with CliRunner().isolation() as (_, err, _):
        return main(arguments), err.getvalue().decode()


def test_the_command_logs_the_numbers(tmp_path: Path) -> None:
    """P-QUOTA-1: of each collection and bucket; a read-only service refuses (exit 41)."""
    ini, url = tmp_path / "kinto.ini", f"sqlite:///{tmp_path}/kinto.sqlite"
    lines = ("[app:main]", f"kinto.storage_url = {url}", "kinto.storage_backend = sqlite")
    ini.write_text("\n".join((*lines, "kinto.includes = kinto.plugins.quotas", "")))
    app = create_app({"kinto.storage_url": url, "kinto.storage_backend": "sqlite", **BASICAUTH})
    client = Client(app)
    client.put(B)
    client.put(C)
    made = client.put(f"{RECORDS}/r")
    sizes = [size_of_document(client.get(path).data) for path in (B, C)]
    app.extensions["kinto"].close()

    code, log = kinto("--ini", str(ini), "rebuild-quotas")
    ini.write_text(ini.read_text() + "kinto.readonly = true\n")
    readonly, _ = kinto("--ini", str(ini), "rebuild-quotas")

    in_collection = sizes[1] + size_of_document(made.data)
    assert f"Bucket b, collection c. Final size: 1 records, {in_collection} bytes." in log
    assert f"Bucket b. Final size: 1 collections, 1 records, {sizes[0] + in_collection} bytes." in log
    assert (code, readonly) == (0, 41)
