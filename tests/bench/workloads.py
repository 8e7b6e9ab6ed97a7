"""The requests that are measured. Everything is done by a member of a group that may write to the bucket."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tests.bench.load import Request, body_of, header_of, request, send

BUCKET: Final = "/buckets/b"
COLLECTIONS: Final = f"{BUCKET}/collections"
BATCH_SIZE: Final = 25
USER: Final = "bob"

Requests = Iterator[Request]


@dataclass(frozen=True)
class Data:
    """The data on one server: `big` records in the collection `big`, and what requests refer to."""

    port: int
    big: int
    etag: str
    record_etag: str
    deep_page: str


@dataclass(frozen=True)
class Workload:
    """One kind of requests: *requests* yields them without end, for the number of a round that no other has."""

    name: str
    requests: Callable[[Data, int], Requests]
    prepare: Callable[[Data, int, int], None] = lambda data, turn, count: None
    """Make the objects that *count* requests of a round need; this is not measured."""


def record(number: int) -> dict[str, Any]:
    """Return the attributes of a record, some 540 characters of JSON."""
    return {
        "title": f"The title of record {number}",
        "slug": f"slug-{number}",
        "status": ("active", "done", "open", "lost", "new")[number % 5],
        "count": number * 7919 % 100_003,
        "tags": ["red", "green", "blue"][: number % 4],
        "nested": {"author": f"author-{number % 50}", "flag": number % 2 == 0},
        "body": "lorem ipsum dolor sit amet " * 13,
    }


def fill(port: int, big: int) -> Data:
    """Make the objects that all workloads share, over HTTP.

    One batch after the other: of batches at the same time Kinto 26.5 refuses some members.
    """
    user = body_of(send(port, [request("GET", "/", user=USER)]))["user"]["id"]
    group = {"data": {"members": [user]}}
    send(port, [request("PUT", BUCKET, status=201)])
    send(port, [request("PUT", f"{BUCKET}/groups/g", group, status=201)])
    send(port, [request("PATCH", BUCKET, {"permissions": {"write": [f"{BUCKET}/groups/g"]}})])
    for name, count in (("hundred", 100), ("thousand", 1_000), ("big", big), ("writes", 0)):
        send(port, [request("PUT", f"{COLLECTIONS}/{name}", user=USER, status=201)])
        send(port, _batches(f"{COLLECTIONS}/{name}/records/r", range(count)), connections=1)
    etag = header_of(send(port, [_read("HEAD", _records("big"))]), "ETag")
    one = send(port, [_read("GET", f"{_records('big')}/r1")])
    following = header_of(send(port, [_read("GET", f"{_records('big')}?_limit={big // 2}")]), "Next-Page")
    page = urlsplit(following.replace(f"_limit={big // 2}", "_limit=20"))
    return Data(port, big, etag, header_of(one, "ETag"), f"{page.path.removeprefix('/v1')}?{page.query}")


def _records(name: str) -> str:
    return f"{COLLECTIONS}/{name}/records"


def _read(method: str, path: str, **options: Any) -> Request:
    return request(method, path, user=USER, **options)


def _batch(members: Iterable[dict[str, Any]]) -> Request:
    return request("POST", "/batch", {"requests": list(members)}, user=USER)


def _member(method: str, path: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"method": method, "path": path} | ({} if data is None else {"body": {"data": data}})


def _batches(prefix: str, numbers: Iterable[int]) -> Requests:
    for chunk in _chunks(numbers):
        yield _batch(_member("PUT", f"{prefix}{number}", record(number)) for number in chunk)


def _chunks(numbers: Iterable[int]) -> Iterator[list[int]]:
    iterator = iter(numbers)
    while chunk := list(itertools.islice(iterator, BATCH_SIZE)):
        yield chunk


def _same(make: Callable[[Data], Request]) -> Callable[[Data, int], Requests]:
    return lambda data, turn: itertools.repeat(make(data))


def _numbered(make: Callable[[Data, str, int], Request]) -> Callable[[Data, int], Requests]:
    """Return requests that differ: *make* gets a prefix of ids that only this round has, and a number."""
    return lambda data, turn: (make(data, f"t{turn}-", number) for number in itertools.count())


def _create(prefix: str) -> Callable[[Data, int, int], None]:
    """Return a preparation that creates the records of which requests of a round each need one."""

    def prepare(data: Data, turn: int, count: int) -> None:
        send(data.port, _batches(f"{_records('writes')}/{prefix}t{turn}-", range(count)), connections=1)

    return prepare


def _mixed(data: Data, prefix: str, number: int) -> Request:
    writes, reads = f"{_records('writes')}/m{prefix}{number}-", f"{_records('hundred')}/r"
    return _batch(
        [
            *(_member("GET", f"{reads}{each}") for each in range(10)),
            *(_member("PUT", f"{writes}{each}", record(each)) for each in range(8)),
            *(_member("PATCH", f"{writes}{each}", {"count": 1}) for each in range(4)),
            *(_member("DELETE", f"{writes}{each}") for each in range(2)),
            _member("POST", _records("writes"), record(number)),
        ]
    )


def _writes(data: Data, prefix: str, number: int) -> str:
    return f"{_records('writes')}/{prefix}{number}"


WORKLOADS: Final = (
    Workload("hello, anonymous", _same(lambda data: request("GET", "/", user=None))),
    Workload(
        "GET a record", _numbered(lambda data, _, number: _read("GET", f"{_records('big')}/r{number * 7 % data.big}"))
    ),
    Workload(
        "GET a record, 304",
        _same(
            lambda data: _read("GET", f"{_records('big')}/r1", headers={"If-None-Match": data.record_etag}, status=304)
        ),
    ),
    Workload("poll without changes", _same(lambda data: _read("GET", f"{_records('big')}?_since={quote(data.etag)}"))),
    Workload("HEAD of the big list", _same(lambda data: _read("HEAD", _records("big")))),
    Workload("list of 100", _same(lambda data: _read("GET", _records("hundred")))),
    Workload("list of 1,000", _same(lambda data: _read("GET", _records("thousand")))),
    Workload("first page of 20", _same(lambda data: _read("GET", f"{_records('big')}?_limit=20"))),
    Workload("deep page of 20", _same(lambda data: _read("GET", data.deep_page))),
    Workload(
        "filter, sort, page of 20",
        _same(lambda data: _read("GET", f"{_records('big')}?status=active&_sort=-count&_limit=20")),
    ),
    Workload(
        "one match by a field",
        _numbered(lambda data, _, number: _read("GET", f"{_records('big')}?slug=slug-{number * 7 % data.big}")),
    ),
    Workload(
        "create",
        _numbered(
            lambda data, _, number: request("POST", _records("writes"), {"data": record(number)}, user=USER, status=201)
        ),
    ),
    Workload(
        "PUT",
        _numbered(
            lambda data, _, number: request(
                "PUT", f"{_records('thousand')}/r{number % 1000}", {"data": record(number)}, user=USER
            )
        ),
    ),
    Workload(
        "PATCH",
        _numbered(
            lambda data, _, number: request(
                "PATCH", f"{_records('thousand')}/r{number % 1000}", {"data": {"count": number}}, user=USER
            )
        ),
    ),
    Workload(
        "DELETE",
        _numbered(lambda data, prefix, number: request("DELETE", _writes(data, f"d{prefix}", number), user=USER)),
        _create("d"),
    ),
    Workload(
        "batch of 25 creates",
        _numbered(
            lambda data, prefix, number: _batch(
                _member("PUT", _writes(data, f"b{prefix}{number}-", each), record(each)) for each in range(BATCH_SIZE)
            )
        ),
    ),
    Workload("batch of 25, mixed", _numbered(_mixed)),
)


def expect_success(response: bytes) -> None:
    """Raise AssertionError for a batch in which a member failed."""
    content = response.partition(b"\r\n\r\n")[2]
    if content.startswith(b'{"responses"'):
        failed = [each for each in json.loads(content)["responses"] if each["status"] >= 400]
        assert not failed, failed[0]
