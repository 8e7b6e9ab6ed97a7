"""The requests that are measured. Everything is done by a member of a group that may write to the bucket."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tests.bench.load import Request, body_of, header_of, request, send
from tests.bench.rows import verify_records

BUCKET: Final = "/buckets/b"
COLLECTIONS: Final = f"{BUCKET}/collections"
BATCH_SIZE: Final = 25
USER: Final = "bob"
_OVER_HTTP: Final = 500
_LONGEST_PAGE: Final = 9_000
"""Kinto 26.5 has no page of more than 10,000."""

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


AddRecords = Callable[[str, range, Callable[[int], dict[str, Any]]], None]
"""Add the records with some numbers to a list, by SQL."""


def fill(port: int, big: int, add_records: AddRecords) -> Data:
    """Make the objects that all workloads share: the first records of each list over HTTP, the others by SQL.

    One batch after the other: of batches at the same time Kinto 26.5 refuses some members. Raises WrongStatus.
    """
    user = body_of(send(port, [request("GET", "/", user=USER)]))["user"]["id"]
    group = {"data": {"members": [user]}}
    send(port, [request("PUT", BUCKET, status=201)])
    send(port, [request("PUT", f"{BUCKET}/groups/g", group, status=201)])
    send(port, [request("PATCH", BUCKET, {"permissions": {"write": [f"{BUCKET}/groups/g"]}})])
    for name, count in (
        ("hundred", 100),
        ("thousand", min(big, 1_000)),
        ("tens", min(big, 10_000)),
        ("big", big),
        ("writes", 0),
    ):
        send(port, [request("PUT", f"{COLLECTIONS}/{name}", user=USER, status=201)])
        over_http = min(count, _OVER_HTTP)
        send(port, _batches(f"{_records(name)}/r", range(over_http)), connections=1)
        if count > over_http:
            add_records(_records(name), range(over_http, count), record)
        if count:
            verify_records(port, _read, _records(name), count, record)
    return describe(port, big)


def describe(port: int, big: int) -> Data:
    """Return what requests refer to in the list `big`, as it is now."""
    etag = header_of(send(port, [_read("HEAD", _records("big"))]), "ETag")
    one = send(port, [_read("GET", f"{_records('big')}/r1")])
    limit = min(big // 2, _LONGEST_PAGE)
    following = header_of(send(port, [_read("GET", f"{_records('big')}?_limit={limit}")]), "Next-Page")
    page = urlsplit(following.replace(f"_limit={limit}", "_limit=20"))
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


_FILTER: Final = Workload(
    "filter, sort, page of 20",
    _same(lambda data: _read("GET", f"{_records('big')}?status=active&_sort=-count&_limit=20")),
)
_MATCH: Final = Workload(
    "one match by a field",
    _numbered(lambda data, _, number: _read("GET", f"{_records('big')}?slug=slug-{number * 7 % data.big}")),
)

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
    Workload("list of 10,000", _same(lambda data: _read("GET", _records("tens")))),
    Workload("first page of 20", _same(lambda data: _read("GET", f"{_records('big')}?_limit=20"))),
    Workload("deep page of 20", _same(lambda data: _read("GET", data.deep_page))),
    _FILTER,
    _MATCH,
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
                "PUT", f"{_records('thousand')}/r{number % min(data.big, 1_000)}", {"data": record(number)}, user=USER
            )
        ),
    ),
    Workload(
        "PATCH",
        _numbered(
            lambda data, _, number: request(
                "PATCH",
                f"{_records('thousand')}/r{number % min(data.big, 1_000)}",
                {"data": {"count": number}},
                user=USER,
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

COMMON: Final = ("hello, anonymous", "GET a record", "list of 100", "first page of 20", "PUT", "batch of 25 creates")
"""Names of workloads that are measured with other numbers of connections too, and with log lines."""

INDEXED: Final = tuple(replace(each, name=f"{each.name}, indexed") for each in (_FILTER, _MATCH))


_INDEXES: Final = [{"fields": ["status", "-count"]}, {"fields": ["slug"]}]


def declare_indexes(port: int) -> bool:
    """Declare the indexes of the workloads `INDEXED` in the list `big`; return False for a server that has none."""
    return _set_indexes(port, _INDEXES)


def withdraw_indexes(port: int) -> bool:
    """Withdraw the indexes of the list `big`, which rows that SQL adds would not be in."""
    return _set_indexes(port, [])


def _set_indexes(port: int, indexes: list[dict[str, list[str]]]) -> bool:
    if "indexes" not in body_of(send(port, [request("GET", "/", user=None)]))["capabilities"]:
        return False
    send(port, [request("PATCH", f"{COLLECTIONS}/big", {"data": {"indexes": indexes}}, user=USER)])
    return True
