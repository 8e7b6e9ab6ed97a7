"""Measure how the costs of requests grow with the data: records of a list, buckets, members of a group, grants.

The server is this service under gunicorn. Rows are added by SQL, to one database: each subject grows beside those
before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tests.bench.comparison import Effort, Report
from tests.bench.load import Request, body_of, request, send
from tests.bench.measuring import count_for, describe_environment, measure
from tests.bench.results import Cost, Curves, best
from tests.bench.rows import add_buckets, add_grants, add_records, analyze
from tests.bench.servers import Server, postgresql, serve
from tests.bench.workloads import (
    BUCKET,
    COLLECTIONS,
    INDEXED,
    USER,
    declare_indexes,
    describe,
    fill,
    record,
    withdraw_indexes,
)

_BIG: Final = f"{COLLECTIONS}/big/records"
_SMALL: Final = f"{COLLECTIONS}/hundred/records"
_SMALL_RECORDS: Final = 100
_FIRST_RECORDS: Final = 1_000
_SHARED: Final = 5
_CONNECTIONS: Final = 8
_READER_OF_FEW, _READER_OF_MANY = "carol", "dave"
_LONGEST_UNINDEXED: Final = 100_000

Requests = Mapping[str, Iterator[Request]]
"""Requests without end, by the name of their curve."""


@dataclass(frozen=True)
class Subject:
    """One thing that grows: its sizes, how it grows from one to the next, and what is asked at each."""

    name: str
    sizes: tuple[int, ...]
    grow: Callable[[Server, int, int], None]
    requests: Callable[[Server, int], Requests]


def measure_growth(effort: Effort, largest: int, report: Report) -> Curves:
    """Measure all subjects at their sizes up to the largest, in rounds of a third of the seconds of an effort."""
    costs: dict[str, dict[str, dict[int, Cost]]] = {}
    with postgresql() as database, serve("gunicorn", database) as server:
        fill(server.port, min(_FIRST_RECORDS, largest), partial(add_records, database.url))
        for subject in SUBJECTS:
            curves = costs.setdefault(subject.name, {})
            sizes = [size for size in subject.sizes if size <= largest] or [largest]
            for former, size in itertools.pairwise([0, *sizes]):
                subject.grow(server, former, size)
                analyze(database.url)
                for name, requests in subject.requests(server, size).items():
                    curves.setdefault(name, {})[size] = cost = _measure(server, requests, effort)
                    report(f"{subject.name} {size:9,} {name:32} {cost.application_ms:.2f} + {cost.database_ms:.2f}")
        return Curves(describe_environment(database), costs)


def _measure(server: Server, requests: Iterator[Request], effort: Effort) -> Cost:
    count = count_for(server, requests, effort.seconds / 3, _CONNECTIONS)
    return best([measure(server, requests, count, _CONNECTIONS) for _ in range(effort.rounds)])


def _get(path: str, user: str = USER, method: str = "GET") -> Iterator[Request]:
    return itertools.repeat(request(method, path, user=user))


def _gets(records: str, count: int, user: str = USER) -> Iterator[Request]:
    return (request("GET", f"{records}/r{number * 7 % count}", user=user) for number in itertools.count())


def _puts() -> Iterator[Request]:
    return (
        request("PUT", f"{_SMALL}/r{number % _SMALL_RECORDS}", {"data": record(number)}, user=USER)
        for number in itertools.count()
    )


def _unquote(etag: str) -> str:
    return etag.strip('"')


def _user_id(server: Server, user: str) -> str:
    user_id: str = body_of(send(server.port, [request("GET", "/", user=user)]))["user"]["id"]
    return user_id


def _grow_records(server: Server, former: int, size: int) -> None:
    """Add records to the big list; at first share some of it, at last build its indexes anew."""
    if former == 0:
        reader = {"permissions": {"read": [_user_id(server, _READER_OF_FEW)]}}
        send(server.port, [request("PATCH", f"{_BIG}/r{number}", reader, user=USER) for number in range(_SHARED)])
    else:
        withdraw_indexes(server.port)
        add_records(server.database.url, _BIG, range(former, size), record)
    if declare_indexes(server.port):
        server.run_command("index")


def _ask_records(server: Server, size: int) -> Requests:
    data = describe(server.port, size)
    requests = {
        "GET a record": _gets(_BIG, size),
        "first page of 20": _get(f"{_BIG}?_limit=20"),
        "deep page of 20": _get(data.deep_page),
        "poll without changes": _get(f"{_BIG}?_since={_unquote(data.etag)}"),
        "HEAD": _get(_BIG, method="HEAD"),
        "PUT a record": _puts(),
        f"list, {_SHARED} shared": _get(_BIG, _READER_OF_FEW),
    }
    if declare_indexes(server.port):
        names = ("filter, indexed", "match, indexed")
        requests |= {name: each.requests(data, 0) for name, each in zip(names, INDEXED, strict=True)}
    elif size <= _LONGEST_UNINDEXED:
        requests["filter and sort"] = _get(f"{_BIG}?status=active&_sort=-count&_limit=20")
    return requests


def _grow_buckets(server: Server, former: int, size: int) -> None:
    """Add buckets as the one that HTTP has made."""
    if former == 0:
        send(server.port, [request("PUT", "/buckets/n", status=201)])
        former = 2  # with the one of the records
    add_buckets(server.database.url, "/buckets/n", range(former, size))


def _ask_buckets(server: Server, size: int) -> Requests:
    return {
        "GET a record": _gets(_SMALL, _SMALL_RECORDS),
        "PUT a record": _puts(),
        "page of own buckets": _get("/buckets?_limit=20", "alice"),
        "list of 1 bucket": _get("/buckets"),
        "GET a bucket": _get("/buckets/n", "alice"),
    }


def _group(server: Server, size: int) -> dict[str, Any]:
    return {"data": {"members": [_user_id(server, USER), *(f"basicauth:{number:064}" for number in range(1, size))]}}


def _grow_group(server: Server, former: int, size: int) -> None:
    send(server.port, [request("PUT", f"{BUCKET}/groups/g", _group(server, size))])


def _ask_group(server: Server, size: int) -> Requests:
    return {
        "GET a record": _gets(_SMALL, _SMALL_RECORDS),
        "first page of 20": _get(f"{_BIG}?_limit=20"),
        "PUT a record": _puts(),
        "PUT the group": itertools.repeat(request("PUT", f"{BUCKET}/groups/g", _group(server, size), user="alice")),
    }


def _grow_grants(server: Server, former: int, size: int) -> None:
    add_grants(server.database.url, _BIG, range(former, size), _user_id(server, _READER_OF_MANY))


def _ask_grants(server: Server, size: int) -> Requests:
    etag = _unquote(describe(server.port, size).etag)
    return {
        "GET a record": _gets(_BIG, size, _READER_OF_MANY),
        "first page of 20": _get(f"{_BIG}?_limit=20", _READER_OF_MANY),
        "poll without changes": _get(f"{_BIG}?_since={etag}", _READER_OF_MANY),
        "HEAD": _get(_BIG, _READER_OF_MANY, "HEAD"),
        "page of /permissions": _get("/permissions?_limit=20", _READER_OF_MANY),
    }


SUBJECTS: Final = (
    Subject("members of a group", (10, 100, 1_000, 10_000), _grow_group, _ask_group),
    Subject("buckets", (10, 100, 1_000, 10_000, 100_000), _grow_buckets, _ask_buckets),
    Subject("records in a list", (_FIRST_RECORDS, 10_000, 100_000, 1_000_000), _grow_records, _ask_records),
    Subject("grants of a reader", (1, 10, 100, 1_000, 10_000, 100_000), _grow_grants, _ask_grants),
)
"""In this order: the grants are on the records before them."""
