"""A request of n bytes costs at most a small multiple of n, whatever its shape and whoever sends it (docs/limits.md).

Each shape is sent with n and with 4n bytes, by somebody who may do everything and by nobody in particular. A shape is
one line of a table: `"name": lambda n: Request(...)`.

Nothing here measures time. Counted are the calls and returns of functions, of Python's and of C's, and the bytes that
are allocated: the peak between any two returns, summed up, so that a copy made by C code counts by its length. Neither
sees C code that allocates nothing (comparing, searching, moving), nor the work of the database, whose statements are
bounded by their parameters and their length: these are counted too. Statements are compiled before anything is counted.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import event
from werkzeug.test import create_environ, run_wsgi_app

from app.errors import MAX_PROBLEMS, MAX_TEXT
from app.parsing.bodies import MAX_DEPTH
from app.parsing.filters import MAX_FILTERS, MAX_VALUES
from app.parsing.ids import MAX_ID_CHARACTERS, MAX_PRINCIPAL_BYTES
from app.parsing.patches import MAX_COPIED_FACTOR
from app.parsing.queries import MAX_FIELDS, MAX_KEYS
from tests.support.client import basic
from tests.support.databases import BASICAUTH, DATABASES, database_url, make_app
from tests.support.services import ROOT

SMALL, LARGE = 1_500, 6_000
"""How many bytes a shape has: large enough that what is quadratic stands out from what every request costs."""

HUGE = 100_000
"""How many bytes a shape has that meets every bound."""

MAX_GROWTH = 5.0
"""How many times more a request may cost that is four times as long."""

MAX_CALLS_PER_BYTE = 100
"""How many calls and returns of functions a byte of a request may cause."""

MAX_MEMORY_PER_BYTE = 600
"""How many bytes may be in use at once for a byte of a request."""

MAX_ANSWER_PER_BYTE = 8
"""How many bytes of an answer a byte of a request may cause, beyond the bounded texts of an error."""

MAX_ERROR_BYTES = (MAX_PROBLEMS + 2) * 3 * 6 * MAX_TEXT
"""An error: its problems and its message, each with a few texts, whose characters JSON escapes by at most six."""

MAX_STATEMENT = 400_000
"""How many characters a statement has, as each new shape of it must be compiled and parsed."""

MAX_PARAMETERS = 32_766
"""How many values SQLite takes in one statement; PostgreSQL takes 65,535."""

RECORDS = "/buckets/b/collections/c/records"
RECORD = f"{RECORDS}/r"
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"


@dataclass(frozen=True)
class Request:
    """A request as a server hands it over; `path` is percent-decoded and without `/v1`."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def get(query: str, path: str = RECORDS) -> Request:
    return Request("GET", path, query)


def put(body: Any, path: str = RECORD, method: str = "PUT", media_type: str = "application/json") -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(method, path, body=raw, headers={"Content-Type": media_type})


def patch(body: Any, media_type: str = JSON_PATCH) -> Request:
    return put(body, method="PATCH", media_type=media_type)


def batch(*members: Any, **more: Any) -> Request:
    return put({"requests": list(members), **more}, "/batch", "POST")


def times(text: str, n: int, separator: str = "&") -> str:
    """Return *text* as often as n bytes hold it; `{}` in it is a number."""
    count = max(n // (len(text) + len(separator) + (3 if "{}" in text else 0)), 2)
    return separator.join(text.format(number) if "{}" in text else text for number in range(count))


def some(n: int, size: int) -> range:
    return range(max(n // size, 2))


QUERIES: Mapping[str, Callable[[int], str]] = {
    "one name many times": lambda n: times("a=1", n),
    "one name of an operator many times": lambda n: times("not_a=1", n),
    "one name of lists many times": lambda n: times("in_a=1", n),
    "the id many times": lambda n: times("id=r", n),
    "a limit many times": lambda n: times("_limit=1", n),
    "a bound many times": lambda n: times("_since=1", n),
    "a token many times": lambda n: times("_token=x", n),
    "a sort many times": lambda n: times("_sort=a", n),
    "fields many times": lambda n: times("_fields=a", n),
    "many names": lambda n: times("a{}=1", n),
    "many names that are refused": lambda n: times("a{}%00=1", n),
    "many empty names": lambda n: times("", n),
    "many names without a value": lambda n: times("a{}", n),
    "a long name": lambda n: "a" * n + "=1",
    "a long name of an operator": lambda n: "contains_any_" * (n // 13) + "=1",
    "a deep name": lambda n: "a." * (n // 2) + "a=1",
    "many deep names": lambda n: times(f"min_{'1.' * 120}x{{}}=1", n),
    "as many deep names as there may be": lambda n: "&".join(
        f"gt_{'a.' * (n // 250)}x{i}=x" for i in range(MAX_FILTERS)
    ),
    "many deep names of text": lambda n: times(f"like_{'a.' * 120}x{{}}=1", n),
    "a long value": lambda n: "a=" + "x" * n,
    "a long number": lambda n: "a=" + "1" * n,
    "a long limit": lambda n: "_limit=" + "1" * n,
    "a long bound": lambda n: "_since=" + "1" * n,
    "a value nested deeply": lambda n: "a=" + "[" * n,
    "a list": lambda n: f"a=[{times('1', n, ',')}]",
    "a list of texts": lambda n: f"contains_a=[{times(quote(chr(34) + 'x' + chr(34)), n, ',')}]",
    "values": lambda n: "in_a=" + times("{}", n, ","),
    "values without commas": lambda n: "in_a=" + "," * n,
    "ids": lambda n: "in_id=" + times("r{}", n, ","),
    "ids to exclude": lambda n: "exclude_id=" + times("r{}", n, ","),
    "many filters of values": lambda n: times("in_a{}=" + "1," * 50, n),
    "chosen fields": lambda n: "_fields=" + times("a{}", n, ","),
    "a deep chosen field": lambda n: "_fields=" + times("a", n, "."),
    "keys of a sort": lambda n: "_sort=" + times("a{}", n, ","),
    "keys of a sort in turn": lambda n: "_sort=" + times("a{},-b{}".replace("{}", "x"), n, ","),
    "a deep key of a sort": lambda n: "_sort=" + times("1", n, "."),
    "what is no key of a sort": lambda n: "_sort=" + times("--", n, ","),
    "a pattern of wildcards": lambda n: "like_text=" + "*" * n,
    "a pattern of wildcards and letters": lambda n: "like_text=" + "*a" * (n // 2),
    "a token": lambda n: "_token=" + "A" * n,
    "percent signs": lambda n: "a=" + "%41" * (n // 3),
    "what is not UTF-8": lambda n: "a=" + "%ff" * (n // 3),
}

BODIES: Mapping[str, Callable[[int], Request]] = {
    "a long text": lambda n: put({"data": {"a": "x" * n}}),
    "many members": lambda n: put({"data": {f"a{number}": 1 for number in some(n, 9)}}),
    "the same member many times": lambda n: put(b'{"data":{' + times('"a":1', n, ",").encode() + b"}}"),
    "many elements": lambda n: put({"data": {"a": [1] * (n // 3)}}),
    "U+0000 many times": lambda n: put({"data": {"a": ["\0"] * (n // 10)}}),
    "U+0000 below a long key": lambda n: put({"data": {"x" * (n // 2): ["\0"] * (n // 20)}}),
    "U+0000 beside a long key": lambda n: put({"data": {"x" * (n // 2): [[1]] * (n // 12), "a": "\0"}}),
    "U+0000 below deep keys": lambda n: put({"data": _nested(60, "x" * (n // 120), ["\0"] * (n // 20))}),
    "U+0000 in keys": lambda n: put({"data": {f"\0{number}": 1 for number in some(n, 13)}}),
    "nested too deeply": lambda n: put(b'{"data":' + b"[" * n),
    "nested deeply": lambda n: put({"data": _nested(90, "a", [0] * (n // 3))}),
    "nested often": lambda n: put({"data": {"a": [_nested(40, "a", 0) for _ in some(n, 290)]}}),
    "long numbers": lambda n: put(b'{"data":{"a":[' + times("1" * 4000, n, ",").encode() + b"]}}"),
    "a number that is too long": lambda n: put(b'{"data":{"a":' + b"1" * max(n, 4400) + b"}}"),
    "a long fraction": lambda n: put(b'{"data":{"a":0.' + b"1" * n + b"}}"),
    "numbers that are too large": lambda n: put(b'{"data":{"a":[' + times("1e400", n, ",").encode() + b"]}}"),
    "unknown members": lambda n: put({f"a{number}": 1 for number in some(n, 9)}),
    "an unknown member of size": lambda n: put({"a": ["x"] * (n // 5)}),
    "data that is a list": lambda n: put({"data": [1] * (n // 3)}),
    "data that is text": lambda n: put({"data": "x" * n}),
    "no JSON": lambda n: put(b"x" * n),
    "not UTF-8": lambda n: put(b'{"a":"' + b"\xff" * n),
    "surrogates": lambda n: put(b'{"a":"' + b"\\ud800" * (n // 6) + b'"}'),
    "long ids": lambda n: put({"data": {"id": "x" * n}}),
    "principals": lambda n: put({"permissions": {"read": [f"user:{number}" for number in some(n, 12)]}}),
    "the same principal": lambda n: put({"permissions": {"read": ["user:x"] * (n // 10)}}),
    "what is no principal": lambda n: put({"permissions": {"read": [1] * (n // 3)}}),
    "a long principal": lambda n: put({"permissions": {"read": ["x" * n]}}),
    "unknown permissions": lambda n: put({"permissions": {f"a{number}": [] for number in some(n, 10)}}),
    "members of a group": lambda n: put(
        {"data": {"members": [f"u{number}" for number in some(n, 9)]}}, "/buckets/b/groups/g"
    ),
    "what is no member": lambda n: put({"data": {"members": [1] * (n // 3)}}, "/buckets/b/groups/g"),
    "a merge patch": lambda n: patch({"data": {f"a{number}": None for number in some(n, 12)}}, MERGE_PATCH),
    "a deep merge patch": lambda n: patch({"data": _nested(90, "a", {"b": [0] * (n // 3)})}, MERGE_PATCH),
    "a body where none is expected": lambda n: Request("GET", RECORD, body=b'{"a":"\\u0000' + b"x" * n + b'"}'),
}

JSON_PATCHES: Mapping[str, Callable[[int], Any]] = {
    "add": lambda n: [{"op": "add", "path": f"/data/a{number}", "value": 1} for number in some(n, 47)],
    "add in front": lambda n: [{"op": "add", "path": "/data/list/0", "value": 1} for _ in some(n, 51)],
    "add and remove": lambda n: [
        {"op": op, "path": "/data/x", "value": 1} for _ in some(n, 95) for op in ("add", "remove")
    ],
    "test": lambda n: [{"op": "test", "path": "/data/n", "value": 1} for _ in some(n, 44)],
    "a test that fails": lambda n: [{"op": "test", "path": "/data", "value": "x" * n}],
    "move": lambda n: [
        {"op": "move", "from": f"/data/{a}", "path": f"/data/{b}"} for _ in some(n, 90) for a, b in ("nm", "mn")
    ],
    "move into what is moved": lambda n: [
        operation
        for number in some(n, 110)
        for operation in (
            {"op": "add", "path": f"/data/a{number + 1}", "value": {}},
            {"op": "move", "from": f"/data/a{number}" if number else "/data/n", "path": f"/data/a{number + 1}/b"},
        )
    ],
    "copy": lambda n: [{"op": "copy", "from": "/data/n", "path": f"/data/a{number}"} for number in some(n, 51)],
    "copy all": lambda n: [{"op": "copy", "from": "/data", "path": f"/data/a{number}"} for number in some(n, 51)],
    "copy into itself": lambda n: [{"op": "copy", "from": "/data", "path": "/data/x"} for _ in some(n, 47)],
    "copy a list": lambda n: [
        {"op": "add", "path": "/data/l", "value": [0] * (n // 8)},
        *({"op": "copy", "from": "/data/l", "path": f"/data/a{number}"} for number in some(n, 100)),
    ],
    "a long path": lambda n: [{"op": "add", "path": "/data" + "/a" * (n // 2), "value": 1}],
    "a path of escapes": lambda n: [{"op": "add", "path": "/data/" + "~1" * (n // 2), "value": 1}],
    "paths that are wrong": lambda n: [{"op": "add", "path": "x"} for _ in some(n, 28)],
    "operators that are wrong": lambda n: [{"op": "x" * 20} for _ in some(n, 30)],
    "elements that are wrong": lambda n: [1] * (n // 3),
    "an element of size": lambda n: [["x"] * (n // 5)],
    "principals one by one": lambda n: [
        {"op": "add", "path": f"/permissions/read/u{number}"} for number in some(n, 50)
    ],
    "principals at once": lambda n: [
        {"op": "add", "path": "/permissions/read", "value": [f"u{i}" for i in some(n, 8)]}
    ],
    "lists of principals": lambda n: [{"op": "add", "path": "/permissions/read", "value": ["u"]} for _ in some(n, 60)],
    "what is no principal": lambda n: [{"op": "add", "path": "/permissions/read", "value": [0] * (n // 3)}],
}

HEADERS: Mapping[str, Callable[[int], Mapping[str, str]]] = {
    "Accept with many types": lambda n: {"Accept": times("text/a{};q=0.1", n, ",")},
    "Accept with many parameters": lambda n: {"Accept": "text/html" + times(";a{}=1", n, "")},
    "Accept of quotes": lambda n: {"Accept": '"' * n},
    "Accept of commas": lambda n: {"Accept": "," * n},
    "If-Match": lambda n: {"If-Match": '"' + "1" * n + '"'},
    "If-None-Match": lambda n: {"If-None-Match": times('"1"', n, ", ")},
    "Response-Behavior": lambda n: {"Response-Behavior": "x" * n},
    "Content-Type": lambda n: {"Content-Type": "application/json" + ";a=1" * (n // 4)},
    "Origin": lambda n: {"Origin": "http://" + "a." * (n // 2)},
    "X-Request-Id": lambda n: {"X-Request-Id": "x" * n},
    "Authorization": lambda n: {"Authorization": "Basic " + "A" * n},
    "a long password": lambda n: {"Authorization": basic("alice", "x" * n)},
}

PATHS: Mapping[str, Callable[[int], str]] = {
    "segments": lambda n: "/a" * (n // 2),
    "slashes": lambda n: "/" * n,
    "segments after an object": lambda n: RECORD + "/a" * (n // 2),
    "a long id": lambda n: "/buckets/" + "x" * n,
    "a long id around": lambda n: f"/buckets/{'x' * n}/collections",
    "percent signs": lambda n: "/buckets/" + "%" * n,
    "dots": lambda n: "/buckets/" + "../" * (n // 3),
}


def _nested(depth: int, key: str, inner: Any) -> Any:
    for _ in range(depth):
        inner = {key: inner}
    return inner


SHAPES: dict[str, Callable[[int], Request]] = {
    **{f"query: {name}": lambda n, make=make: get(make(n)) for name, make in QUERIES.items()},  # type: ignore[misc]
    **{
        f"query of a member of a batch: {name}": lambda n, make=make: batch({"path": f"{RECORDS}?{make(n)}"})  # type: ignore[misc]
        for name, make in QUERIES.items()
    },
    "query of /permissions": lambda n: get("in_uri=" + times("/buckets/b{}", n, ","), "/permissions"),
    "query of a list to delete": lambda n: Request("DELETE", RECORDS, "in_id=" + times("x{}", n, ",")),
    **{f"body: {name}": make for name, make in BODIES.items()},
    **{f"JSON Patch: {name}": lambda n, make=make: patch(make(n)) for name, make in JSON_PATCHES.items()},  # type: ignore[misc]
    **{
        f"header: {name}": lambda n, make=make: Request("PUT", RECORD, body=b"{}", headers=make(n))  # type: ignore[misc]
        for name, make in HEADERS.items()
    },
    **{
        f"header of a member of a batch: {name}": lambda n, make=make: batch({"path": RECORD, "headers": dict(make(n))})  # type: ignore[misc]
        for name, make in HEADERS.items()
    },
    **{f"path: {name}": lambda n, make=make: Request("GET", make(n)) for name, make in PATHS.items()},  # type: ignore[misc]
    **{
        f"path of a member of a batch: {name}": lambda n, make=make: batch({"path": quote(make(n))})  # type: ignore[misc]
        for name, make in PATHS.items()
    },
    "batch: elements that are wrong": lambda n: batch(*([1] * (n // 3))),
    "batch: unknown members": lambda n: batch({"path": "/", **{f"a{number}": 1 for number in some(n, 9)}}),
    "batch: many headers": lambda n: batch({"path": RECORD, "headers": {f"A{number}": "x" for number in some(n, 13)}}),
    "batch: headers that are wrong": lambda n: batch(
        {"path": RECORD, "headers": {f"A{number}": 1 for number in some(n, 10)}}
    ),
    "batch: unknown members beside": lambda n: batch({"path": RECORD}, **{f"a{number}": 1 for number in some(n, 9)}),
}


@dataclass
class Cost:
    """What one request took.

    `memory` are the bytes in use at once, `parameters` and `statement` the most values and characters of a statement.
    """

    calls: int = 0
    allocated: int = 0
    memory: int = 0
    parameters: int = 0
    statement: int = 0
    answered: int = 0
    status: int = 0


@contextmanager
def counted(cost: Cost) -> Iterator[None]:
    """Add calls and allocations of this thread to *cost*."""
    sample, reset = tracemalloc.get_traced_memory, tracemalloc.reset_peak
    calls = allocated = highest = before = 0
    begins = frozenset(("call", "c_call"))

    def profile(frame: FrameType, happening: str, _: Any) -> None:
        # Runs a million times in these tests: local variables, and no call that can be spared.
        nonlocal calls, allocated, highest, before
        calls += 1
        if happening in begins:
            return
        current, peak = sample()
        allocated += peak - before
        if peak > highest:
            highest = peak
        before = current
        if peak != current:
            reset()

    tracemalloc.start()
    before = start = sample()[0]
    reset()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
        tracemalloc.stop()
        cost.calls += calls
        cost.allocated += allocated
        cost.memory = max(cost.memory, highest - start)


@pytest.fixture(scope="module")
def _apps() -> Iterator[dict[str, Flask]]:
    """Keep the services of this module, one for each database: tests come in an order that would make more of them."""
    made: dict[str, Flask] = {}
    yield made
    for app in made.values():
        app.extensions["kinto"].close()


@pytest.fixture(params=DATABASES)
def app(request: pytest.FixtureRequest, _apps: dict[str, Flask]) -> Flask:
    """Return a service with a bucket of alice's, with an object of each kind in it."""
    if request.param not in _apps:
        settings = {**BASICAUTH, "kinto.experimental_permissions_endpoint": True}
        app = _apps[request.param] = make_app(database_url(request.param, request), settings)
        send(app, put({}, "/buckets/b"))
        send(app, put({"data": {"members": ["bob"]}}, "/buckets/b/groups/g"))
        send(app, put({}, "/buckets/b/collections/c"))
    return _apps[request.param]


def send(
    app: Flask, request: Request, *, admitted: bool = True, cost: Cost | None = None, counting: bool = True
) -> Cost:
    """Send a request and return what it took; calls and memory where *cost* is given and they are to be counted."""
    environ = create_environ(method=request.method, data=request.body)
    environ["PATH_INFO"], environ["QUERY_STRING"] = f"/v1{request.path}", request.query
    if admitted:
        environ["HTTP_AUTHORIZATION"] = basic("alice")
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    if cost is None or not counting:
        cost = cost or Cost()
        chunks, status, headers = run_wsgi_app(app, environ, buffered=True)
    else:
        with counted(cost):
            chunks, status, headers = run_wsgi_app(app, environ, buffered=True)
    cost.status = int(status.split()[0])
    cost.answered = sum(map(len, chunks)) + sum(len(name) + len(value) for name, value in headers)
    return cost


@contextmanager
def statements_counted(app: Flask, cost: Cost) -> Iterator[None]:
    """Note what the largest statement has; an `executemany` binds the values of one row at a time."""
    storage = app.extensions["kinto"].storage

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        cost.statement = max(cost.statement, len(statement))
        if not many:
            # PostgreSQL numbers the parameters of a statement: where one is repeated, it is the same object.
            on_postgresql = connection.dialect.name == "postgresql"
            values = {id(value) for value in parameters} if on_postgresql else parameters
            cost.parameters = max(cost.parameters, len(values))

    for engine in (storage.reading, storage.writing):
        event.listen(engine, "before_cursor_execute", note)
    yield
    for engine in (storage.reading, storage.writing):
        event.remove(engine, "before_cursor_execute", note)


def take(app: Flask, request: Request, *, admitted: bool) -> Cost:
    """Return the cost of a request, sent to the same object each time and once before, so that caches are warm."""
    record = {"n": 1, "text": "a" * 50, "list": [1, 2], "deep": {"a": {"b": 1}}}
    send(app, put({"data": record, "permissions": {"read": ["bob"]}}))
    cost = Cost()
    with statements_counted(app, cost):
        send(app, request, admitted=admitted, cost=cost)
    return cost


ALONE = [name for name in SHAPES if "of a member" not in name]
"""Shapes that are no part of a member of a batch, which is parsed as the same request alone is."""

IN_STATEMENTS = [name for name in ALONE if not name.startswith(("header", "path"))]
"""Shapes of which values come into statements."""


@pytest.mark.parametrize("app", ["sqlite"], indirect=True)
@pytest.mark.parametrize("shape", ALONE)
def test_a_request_costs_no_more_than_in_proportion_to_its_length(app: Flask, shape: str) -> None:
    make = SHAPES[shape]
    for size, admitted in ((SMALL, True), (LARGE, True), (LARGE, False)):
        send(app, make(size), admitted=admitted)  # statements are compiled once and kept

    small, large = (take(app, make(size), admitted=True) for size in (SMALL, LARGE))
    anonymous = take(app, make(LARGE), admitted=False)

    for cost in (large, anonymous):
        assert cost.calls <= MAX_GROWTH * small.calls
        assert cost.allocated <= MAX_GROWTH * small.allocated
        assert cost.calls - small.calls <= MAX_CALLS_PER_BYTE * (LARGE - SMALL)
        assert cost.memory - small.memory <= MAX_MEMORY_PER_BYTE * (LARGE - SMALL)


# Who may do nothing is refused before the first statement that has values of the request: one database shows it.
@pytest.mark.parametrize(
    ("app", "admitted", "shape"),
    [
        *(("sqlite", True, shape) for shape in SHAPES),
        *(("postgresql", True, shape) for shape in IN_STATEMENTS),
        *(("sqlite", False, shape) for shape in ALONE),
    ],
    indirect=["app"],
)
def test_a_request_is_answered_within_bounds(app: Flask, shape: str, *, admitted: bool) -> None:
    cost = Cost()
    with statements_counted(app, cost):
        send(app, SHAPES[shape](HUGE), admitted=admitted, cost=cost, counting=False)

    assert cost.status < 500
    assert cost.answered <= MAX_ANSWER_PER_BYTE * HUGE + MAX_ERROR_BYTES
    assert cost.parameters <= MAX_PARAMETERS
    assert cost.statement <= MAX_STATEMENT


def test_the_document_has_the_bounds_that_are_tested() -> None:
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    rows = {
        "filters of a query": MAX_FILTERS,
        "values of all `in_` and `exclude_` filters of a query together": MAX_VALUES,
        "keys of a sort": MAX_KEYS,
        "fields chosen by `_fields`": MAX_FIELDS,
        "depth of JSON": MAX_DEPTH,
        "problems that an error lists": MAX_PROBLEMS,
        "texts of an error that quote what was sent": MAX_TEXT,
        "ids": MAX_ID_CHARACTERS,
        "principals": MAX_PRINCIPAL_BYTES,
        "copies in a JSON Patch": MAX_COPIED_FACTOR,
        "integers": sys.get_int_max_str_digits(),
        "calls and returns of functions, and bytes allocated over time, at 4n bytes": int(MAX_GROWTH),
        "calls and returns of functions for a byte": MAX_CALLS_PER_BYTE,
        "memory in use at once for a byte": MAX_MEMORY_PER_BYTE,
        "length of a response without objects, for a byte": MAX_ANSWER_PER_BYTE,
        "values in one SQL statement": MAX_PARAMETERS,
        "characters of one SQL statement": MAX_STATEMENT,
    }

    stated = {name: text.split(f"| {name} | ")[1].split()[0].rstrip(",;") for name in rows}

    assert stated == {name: f"{number:,}" for name, number in rows.items()}
