"""Random histories: what several people ask of a few objects, cut into batches, and what comes of it.

A history is a list of `Chunk`s, each what is asked at one moment: a batch, or one request after the other. The clock of
the process stands still within a chunk, so that both ways of asking give the same timestamps, and answers and tables
are compared as they are.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from sqlalchemy import delete, insert

from backends.storage import LIVING
from backends.storage.tables import members
from scripts.check import scope_of
from tests.support.client import Answer, Client, basic, user_id
from tests.support.tables import Tables, faults, read_tables

START_MS = 1_700_000_000_000
BUCKETS = ("/buckets/a", "/buckets/b")
ALICE, BOB, CAROL = (user_id(name) for name in ("alice", "bob", "carol"))
ACCOUNTS = ("dora", "emil")
GROUPS = tuple(f"{bucket}/groups/{object_id}" for bucket in BUCKETS for object_id in "gh")
PRINCIPALS = (BOB, CAROL, "account:dora", "account:emil", *GROUPS, "system.Everyone", "system.Authenticated")
PEOPLE: Mapping[str, str | None] = {
    "alice": basic("alice"),
    "bob": basic("bob"),
    "carol": basic("carol"),
    "dora": basic("dora", "pw"),
    "emil": basic("emil", "pw"),
    "nobody": None,
}
SETTINGS: Mapping[str, Any] = {
    "kinto.includes": "kinto.plugins.accounts",
    "multiauth.policies": "account basicauth",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "kinto.account_create_principals": "system.Everyone",
    "kinto.account_write_principals": ALICE,
    "kinto.account_bcrypt_rounds": 4,
    "kinto.account_login_failures_per_account": 0,
    "kinto.account_login_failures_per_address": 0,
    "kinto.experimental_permissions_endpoint": True,
    "kinto.user-data_delete_principals": ALICE,
    "kinto.bucket_create_principals": "system.Authenticated",
}


@dataclass(frozen=True)
class Request:
    """A request of one user. Timestamps are relative, as `Stamp`s, until a run comes to the request."""

    who: str
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stamp:
    """A timestamp beside the one that the object or list of the request has, or beside the present."""

    ahead_ms: int
    of_present: bool = False


@dataclass(frozen=True)
class Chunk:
    """The requests of one moment, this many milliseconds after those of the chunk before."""

    later_ms: int
    requests: tuple[Request, ...]
    alone: bool = False
    """Whether a single request is sent as such, not as a batch of one."""


Reply = tuple[int, Any, Mapping[str, str]]
"""Status, body and headers of an answer."""


# What is asked.

_STAMPS = st.builds(Stamp, st.sampled_from((-2, -1, 0, 1, 5))) | st.builds(
    Stamp, st.sampled_from((-100, -7, 0, 3, 2_000, 10**9)), st.just(True)
)
_INDEXES: Sequence[Any] = ({"fields": ["n", "-m"]}, {"unique": ["n"]}, {"text": ["m"]}, {"contains": ["m"]})
_CREATIONS = {"bucket": ("collection:create", "group:create"), "collection": ("record:create",)}


def _permissions(kind: str) -> st.SearchStrategy[dict[str, list[str]]]:
    names = st.sampled_from(("read", "write", *_CREATIONS.get(kind, ())))
    return st.dictionaries(names, st.lists(st.sampled_from(PRINCIPALS), max_size=2, unique=True), max_size=2)


def _documents(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    if kind == "group":
        joined = st.lists(st.sampled_from((BOB, CAROL, "account:dora", "account:emil")), max_size=3, unique=True)
        return st.fixed_dictionaries({"members": joined})
    if kind == "account":
        return st.fixed_dictionaries({"password": st.sampled_from(("pw", "pw", "other"))}, optional={"age": st.just(7)})
    if kind == "collection":
        declared = st.lists(st.sampled_from(_INDEXES), max_size=2, unique_by=repr)
        return st.fixed_dictionaries({}, optional={"indexes": declared, "n": st.integers(0, 2)})
    return st.dictionaries(st.sampled_from("mn"), st.integers(0, 2) | st.sampled_from((None, "x")), max_size=2)


@st.composite
def _places(draw: st.DrawFn) -> tuple[str, str, bool]:
    """Choose a kind and a path, and whether it is a list."""
    bucket = draw(st.sampled_from((*BUCKETS, BUCKETS[0])))
    collection = f"{bucket}/collections/{draw(st.sampled_from('ccd'))}"
    kind, container = draw(
        st.sampled_from(
            (
                *(("record", f"{collection}/records"),) * 5,
                *(("group", f"{bucket}/groups"),) * 4,
                *(("collection", f"{bucket}/collections"),) * 3,
                *(("bucket", "/buckets"),) * 2,
                *(("account", "/accounts"),) * 2,
            )
        )
    )
    if draw(st.integers(0, 4)) == 0:
        return kind, container, True
    names = {"bucket": "ab", "collection": "ccd", "group": "gh", "record": "rst", "account": ACCOUNTS}[kind]
    return kind, f"{container}/{draw(st.sampled_from(names))}", False


@st.composite
def _json_patches(draw: st.DrawFn, kind: str) -> list[dict[str, Any]]:
    who = draw(st.sampled_from(PRINCIPALS))
    steps = [
        {"op": "add", "path": f"/permissions/{draw(st.sampled_from(('read', 'write')))}/{who.replace('/', '~1')}"},
        {"op": "remove", "path": f"/permissions/read/{who.replace('/', '~1')}"},
        {"op": "test", "path": "/data/n", "value": 1},
    ]
    if kind == "group":
        steps += [{"op": "add", "path": "/data/members/0", "value": BOB}, {"op": "remove", "path": "/data/members/0"}]
    elif kind == "account":
        steps.append({"op": "add", "path": "/data/password", "value": draw(st.sampled_from(("pw", "other")))})
    else:
        steps += [{"op": "add", "path": "/data/n", "value": draw(st.integers(0, 2))}]
    return draw(st.lists(st.sampled_from(steps), min_size=1, max_size=2))


def _draw_body(draw: st.DrawFn, kind: str, method: str) -> tuple[Any, dict[str, str]]:
    """Draw the body of a request, None for a method without one, and the headers that describe it."""
    if method == "PATCH" and draw(st.integers(0, 2)) == 0:
        return draw(_json_patches(kind)), {"Content-Type": "application/json-patch+json"}
    if method not in ("PUT", "POST", "PATCH"):
        return None, {}
    headers: dict[str, str] = {}
    body = {"data": draw(_documents(kind)), "permissions": draw(_permissions(kind))}
    if method != "POST":
        body = {name: value for name, value in body.items() if draw(st.integers(0, 4))}
    elif kind != "record" or draw(st.booleans()):
        ids = {"bucket": "ab", "collection": "cd", "group": "gh", "record": "rst", "account": ACCOUNTS}[kind]
        body["data"]["id"] = draw(st.sampled_from(ids))
    if "data" in body and draw(st.integers(0, 5)) == 0:
        body["data"]["last_modified"] = draw(_STAMPS)
    if method == "PATCH" and draw(st.booleans()):
        headers["Content-Type"] = "application/merge-patch+json"
        headers["Response-Behavior"] = draw(st.sampled_from(("full", "light", "diff")))
    return body, headers


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw one request."""
    who = draw(st.sampled_from(("alice",) * 5 + ("bob", "carol", "dora", "dora", "emil", "nobody")))
    if draw(st.integers(0, 19)) == 0:
        return Request(who, "GET", draw(st.sampled_from(("/", "/permissions", "/nowhere"))))
    kind, path, on_list = draw(_places())
    methods = (
        ("GET", "HEAD", "DELETE", "POST", "POST")
        if on_list
        else ("PUT", "PUT", "PUT", "PATCH", "PATCH", "DELETE", "DELETE", "GET")
    )
    method = draw(st.sampled_from(methods))
    headers: dict[str, Any] = {}
    condition = draw(st.sampled_from((None,) * 5 + ("If-Match", "If-None-Match")))
    if condition:
        headers[condition] = "*" if condition == "If-None-Match" and draw(st.booleans()) else draw(_STAMPS)
    query: dict[str, Any] = {}
    if on_list and method != "POST":
        query = draw(
            st.dictionaries(st.sampled_from(("_since", "_before", "gt_last_modified")), _STAMPS, max_size=1)
            | st.fixed_dictionaries(
                {}, optional={"_limit": st.just(1), "_sort": st.sampled_from(("n,-m", "id")), "n": st.just(1)}
            )
        )
    elif method == "DELETE" and draw(st.integers(0, 3)) == 0:
        query = {"last_modified": draw(_STAMPS)}
    body, described = _draw_body(draw, kind, method)
    return Request(who, method, path, body, headers | described, query)


_USER_DATA = "/__user_data__/"
_FORGETTING = st.builds(
    lambda name: Request("alice", "DELETE", f"{_USER_DATA}{name}"), st.sampled_from((BOB, CAROL, "account:dora"))
)
"""What no batch takes: a chunk of its own."""

_BATCHES = st.builds(
    Chunk, st.sampled_from((0, 0, 1, 50)), st.lists(requests(), min_size=1, max_size=8).map(tuple), st.booleans()
)
_CHUNKS = st.one_of(*(_BATCHES,) * 12, st.builds(lambda one: Chunk(1, (one,), True), _FORGETTING))

histories = st.lists(_CHUNKS, min_size=1, max_size=8)
"""Histories that begin with the objects of `FIRST`."""


def _put(path: str, data: Any, who: str = "alice", **permissions: list[str]) -> Request:
    return Request(who, "PUT", path, {"data": data, "permissions": permissions})


FIRST = Chunk(
    0,
    (
        *(_put(f"/accounts/{name}", {"password": "pw"}, "nobody") for name in ACCOUNTS),
        _put(BUCKETS[0], {"n": 1}, read=[GROUPS[0]]),
        _put(BUCKETS[1], {}),
        _put(GROUPS[0], {"members": [BOB, "account:dora"]}),
        _put(GROUPS[2], {"members": [CAROL, "account:emil"]}, write=[BOB]),
        _put(f"{BUCKETS[0]}/collections/c", {}, write=[GROUPS[2]]),
        _put(f"{BUCKETS[1]}/collections/c", {}, read=["system.Everyone"]),
        *(
            _put(f"{BUCKETS[0]}/collections/c/records/{object_id}", {"n": 1}, read=["account:dora"])
            for object_id in "rs"
        ),
    ),
)


def _bare_request(method: str, path: str, who: str = "alice") -> Request:
    return Request(who, method, path)


_GROUP, _LIST = GROUPS[0], f"{BUCKETS[0]}/collections/c/records"
_R, _NEW = f"{_LIST}/r", f"{BUCKETS[0]}/collections/new"
_DORA = "account:dora"
_NEW_LIFE = (_bare_request("DELETE", "/accounts/dora", "dora"), _put("/accounts/dora", {"password": "pw"}, "nobody"))
_READS = tuple(
    _bare_request("GET", path, "bob") for path in (BUCKETS[0], f"{BUCKETS[0]}/collections", _R, _LIST, "/permissions")
)


def _repeat(*requests: Request) -> tuple[Chunk, ...]:
    """Ask three times at one moment, one by one; then twice more in a batch, and at last all but the last."""
    alone = tuple(Chunk(0, (request,), True) for request in requests * 3)
    return (*alone, Chunk(0, requests * 2), Chunk(0, requests[:-1]))


def _in_the_past(path: str, data: dict[str, Any], number: int, read: list[str]) -> Request:
    """Write at a timestamp that leaves the clock where it is."""
    return _put(path, {**data, "last_modified": START_MS - 1000 - number}, read=read)


KNOWN: Mapping[str, tuple[Chunk, ...]] = {
    "what a user who is made anew is granted in the batch": (Chunk(1, (*_NEW_LIFE, _put(_R, {}, read=[_DORA]))),),
    "the group that a user who is made anew joins in the batch": (
        Chunk(1, (*_NEW_LIFE, _put(_GROUP, {"members": [_DORA]}))),
        Chunk(1, (_put(_GROUP, {"members": []}), *_NEW_LIFE, _put(_GROUP, {"members": [_DORA]}))),
    ),
    "a group that named a deleted user takes that user in": (
        Chunk(1, (_put(_GROUP, {"members": [_DORA]}),), alone=True),
        *(Chunk(1, (request,), alone=True) for request in _NEW_LIFE),
        Chunk(1, (_put(_GROUP, {"members": [_DORA]}),), alone=True),
    ),
    "the user that a group names is deleted later in the batch": (
        Chunk(1, (_put(_GROUP, {"members": [_DORA]}), _put(_R, {}, read=[_DORA]), *_NEW_LIFE)),
        Chunk(1, (_put(_GROUP, {"members": [BOB, _DORA]}), _NEW_LIFE[0], _put(_GROUP, {"members": [BOB]}))),
        Chunk(1, (_NEW_LIFE[1], _put(_GROUP, {"members": [BOB, _DORA]}), _bare_request("DELETE", "/accounts", "dora"))),
    ),
    "a change of a group shows at the end of its batch": (
        Chunk(1, (_put(_GROUP, {"members": []}), *_READS)),
        Chunk(1, (_put(_GROUP, {"members": [BOB]}), *_READS, _put(_R, {}), *_READS)),
        Chunk(1, (_bare_request("DELETE", _GROUP), *_READS, _put(_GROUP, {"members": [BOB]}), *_READS)),
        Chunk(1, _READS),
    ),
    "grants begin and end at one timestamp": _repeat(_put(_R, {}, read=[BOB]), _put(_R, {}, read=[CAROL])),
    "grants begin and end while the clock stays": _repeat(
        _in_the_past(_R, {}, 1, read=[BOB]), _in_the_past(f"{_LIST}/s", {}, 2, read=[BOB]), _bare_request("DELETE", _R)
    ),
    "members join and leave at one timestamp": _repeat(
        _put(_GROUP, {"members": [BOB]}), _put(_GROUP, {"members": [CAROL]}), _put(_GROUP, {"members": []})
    ),
    "a group that is made without data names nobody": (
        Chunk(1, (_bare_request("DELETE", _GROUP), _bare_request("PUT", _GROUP), _put(_R, {}, read=[_GROUP]), *_READS)),
        Chunk(1, (_put(_GROUP, {"members": [BOB]}), *_READS)),
    ),
    "a group comes and goes at one timestamp": _repeat(
        _put(_GROUP, {"members": [BOB]}), _put(_R, {}, read=[_GROUP]), _bare_request("DELETE", _GROUP)
    ),
    "a user comes and goes at one timestamp": _repeat(
        *_NEW_LIFE, _put(_GROUP, {"members": [_DORA]}), _put(_R, {}, read=[_DORA]), _put(_R, {"n": 2})
    ),
    "a list starts and goes on in one batch": (
        Chunk(
            1,
            (
                _put(_NEW, {}),
                _put(f"{_NEW}/records/r", {}),
                _bare_request("GET", f"{_NEW}/records"),
                _put(f"{_NEW}/records/s", {}),
                _bare_request("DELETE", f"{_NEW}/records"),
                _bare_request("DELETE", _NEW),
                _put(_NEW, {}),
                _put(f"{_NEW}/records/r", {}),
            ),
        ),
    ),
}
"""What once went wrong (docs/architecture.md, "What a transaction refuses"), by what it is about."""

LEFT: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "what a user who is made anew is granted in the batch": ((BUCKETS[0], _R, "read", _DORA),),
    "the group that a user who is made anew joins in the batch": ((_DORA, _GROUP),),
    "a group that named a deleted user takes that user in": ((_DORA, _GROUP),),
    "the user that a group names is deleted later in the batch": ((BOB, _GROUP),),
    "a change of a group shows at the end of its batch": ((BOB, _GROUP),),
    "grants begin and end at one timestamp": ((BUCKETS[0], _R, "read", BOB),),
    "grants begin and end while the clock stays": ((BUCKETS[0], _R, "read", BOB),),
    "members join and leave at one timestamp": ((CAROL, _GROUP),),
    "a group that is made without data names nobody": ((BOB, _GROUP), (BUCKETS[0], _R, "read", _GROUP)),
    "a group comes and goes at one timestamp": ((BOB, _GROUP), (BUCKETS[0], _R, "read", _GROUP)),
    "a user comes and goes at one timestamp": ((_DORA, _GROUP), (BUCKETS[0], _R, "read", _DORA)),
    "a list starts and goes on in one batch": (),
}
"""Which grants and memberships there are after each of them."""


# What comes of it.


class Run:
    """One service that a history happens to."""

    def __init__(self, client: Client) -> None:
        self._client = client.as_(None)
        self._engine = client.app.extensions["kinto"].storage.writing
        self.now_ms = START_MS

    @contextmanager
    def begin(self) -> Iterator[None]:
        """Begin with an empty service; the clock of the process is the history's, and made-up ids are numbers."""
        with (
            mock.patch.object(time, "time_ns", self._present_ns),
            mock.patch.object(uuid, "uuid4", side_effect=(uuid.UUID(int=number, version=4) for number in count(1))),
        ):
            self.now_ms = START_MS
            self._client.app.extensions["kinto"].flush()
            yield

    def _present_ns(self) -> int:
        return self.now_ms * 1_000_000

    def check(self) -> list[str]:
        """Return the faults that `kinto check` reports."""
        service, lines = self._client.app.extensions["kinto"], list[str]()
        service.storage.check(scope_of(service), lines.append, lambda rows: None, repair=False)
        return lines

    def tables(self) -> Tables:
        """Return the rows."""
        with self._engine.connect() as connection:
            return read_tables(connection)

    def resolve(self, request: Request) -> Request:
        """Return a request with its timestamps as numbers."""

        @cache
        def rows() -> dict[str, Any]:
            tables = self.tables()
            return {row.uri: row for row in tables.documents.values()} | {
                row.list: row for row in tables.clocks.values()
            }

        def number(value: Any) -> Any:
            if not isinstance(value, Stamp):
                return value
            known = rows().get(request.path)
            return (self.now_ms if value.of_present or known is None else known.last_modified) + value.ahead_ms

        body = request.body
        if isinstance(body, dict) and "data" in body:
            body = {**body, "data": {name: number(value) for name, value in body["data"].items()}}
        quoted = {
            name: f'"{number(value)}"' if isinstance(value, Stamp) else value for name, value in request.headers.items()
        }
        query = {name: str(number(value)) for name, value in request.query.items()}
        return Request(request.who, request.method, request.path, body, quoted, query)

    def single(self, request: Request) -> Reply:
        """Send one request."""
        member = _member(request)
        return _comparable(self._client.ask(member["method"], member["path"], member.get("body"), member["headers"]))

    def batch(self, requests: Sequence[Request]) -> tuple[int, list[Reply]]:
        """Send a batch; return its status, and the answers of its members unless it failed."""
        answer = self._client.batch(*map(_member, requests))
        if answer.status != 200:
            return answer.status, []
        entries = [
            Answer(entry["status"], entry["headers"], json.dumps(entry["body"]).encode())
            for entry in answer.json["responses"]
        ]
        return 200, [_comparable(entry) for entry in entries]

    def regroup(self, memberships: set[tuple[str, str]]) -> None:
        """Have these users in these groups, whatever was written."""
        with self._engine.begin() as connection:
            connection.execute(delete(members))
            rows = [
                {"user_id": user, "principal": group, "since": 0, "until": LIVING}
                for user, group in sorted(memberships)
            ]
            if rows:
                connection.execute(insert(members), rows)


@dataclass(frozen=True)
class Transcript:
    """The requests of a history, with numbers for timestamps, the answers, and the rows at the end.

    It ends before its time at a chunk in which two objects got one timestamp of the past: that is 409 for the second of
    two requests and for a whole batch (C-BATCH-18). What the end would be differs then, and is None.
    """

    chunks: list[Chunk]
    answers: list[list[Reply]]
    end: dict[str, Any] | None


def ask_one_by_one(run: Run, history: Sequence[Chunk]) -> Transcript:
    """Ask for everything one by one, by the rules of batches."""
    chunks, answers = [], []
    with run.begin():
        for chunk in history:
            run.now_ms += chunk.later_ms
            requests, replies = _one_by_one(run, chunk.requests)
            chunks.append(replace(chunk, requests=tuple(requests)))
            answers.append(replies)
            if clashes(replies):
                return Transcript(chunks, answers, None)
        return Transcript(chunks, answers, _end_of(run))


def ask_in_batches(run: Run, transcript: Transcript) -> Transcript:
    """Ask for the same, each chunk at once."""
    answers = []
    with run.begin():
        for chunk, expected in zip(transcript.chunks, transcript.answers, strict=True):
            run.now_ms += chunk.later_ms
            if chunk.alone and len(chunk.requests) == 1:
                answers.append([run.single(chunk.requests[0])])
                continue
            before = run.tables() if clashes(expected) else None
            status, replies = run.batch(chunk.requests)
            if before is not None:
                assert status == 409 or replies
                assert status != 409 or run.tables() == before
                return Transcript(transcript.chunks, [*answers, expected], None)
            assert status == 200, (status, replies)
            answers.append(replies)
        return Transcript(transcript.chunks, answers, _end_of(run))


def differences(history: Transcript, repeated: Transcript) -> list[str]:
    """Return the differences between two runs of a history: a line for each answer, and for each part of the end."""
    lines = []
    for chunk, answers, repeats in zip(history.chunks, history.answers, repeated.answers, strict=True):
        pairs = zip(chunk.requests, answers, repeats, strict=True)
        lines += [f"{request}: {answer} {repeat}" for request, answer, repeat in pairs if answer != repeat]
    if history.end is None:
        return lines
    assert repeated.end is not None
    for name in history.end:
        answer, repeat = history.end[name], repeated.end[name]
        if isinstance(answer, dict):
            answer, repeat = set(map(repr, answer.items())), set(map(repr, repeat.items()))
        if isinstance(answer, set) and answer != repeat:
            lines.append(f"{name}: {answer - repeat} {repeat - answer}")
        elif answer != repeat:
            lines.append(f"what {name} sees: {answer} {repeat}")
    return lines


def clashes(answers: Sequence[Reply]) -> bool:
    """Return whether a batch of requests with these answers may fail as a whole."""
    return len(answers) > 1 and any(status == 409 for status, _, _ in answers)


def _one_by_one(run: Run, requests: Sequence[Request]) -> tuple[list[Request], list[Reply]]:
    """Send requests one by one; return them as they were sent, and their answers.

    Within a batch everybody has the groups of its start (core contract, 7.7), but for deleted users, who are in none.
    So each request is asked with those memberships in the table, and at the end there are those that the documents of
    the groups say: of the groups that were written, at the last of them.
    """
    resolved: list[Request] = []
    answers: list[Reply] = []
    before = run.tables()
    at_start = at_end = before.memberships
    for request in requests:
        if resolved:
            run.regroup(at_start)
        resolved.append(run.resolve(request))
        answers.append(run.single(resolved[-1]))
        after = run.tables()
        written = _written_groups(before, after)
        gone = {f"account:{uri.removeprefix('/accounts/')}" for uri in before.living - after.living}
        if request.path.startswith(_USER_DATA) and answers[-1][0] == 200:
            # Whoever else is named in the documents of these groups, and is in none of them, stays so.
            gone.add(request.path.removeprefix(_USER_DATA))
            written = {group: users for group, users in written.items() if not users and group not in after.living}
        at_start = {(user, group) for user, group in at_start if user not in gone}
        at_end = {(user, group) for user, group in at_end if user not in gone and group not in written}
        at_end |= {(user, group) for group, users in written.items() for user in users}
        before = after
    if len(requests) > 1:
        run.regroup(at_end)
    memberships = run.tables().memberships
    assert memberships == at_end, (requests, memberships ^ at_end)
    return resolved, answers


def _written_groups(before: Tables, after: Tables) -> dict[str, list[str]]:
    """Return the members of the groups that a request wrote, by their documents: none where a group is deleted."""
    groups = {key for key in before.documents.keys() | after.documents.keys() if "/groups/" in key[1]}
    written = {key for key in groups if before.documents.get(key) != after.documents.get(key)}
    members = {}
    for key in written:
        row = after.documents.get(key)
        # A group that was made without data has no `members` at all (C-OBJ-17).
        members[key[1]] = [] if row is None or row.deleted else _document(row).get("members", [])
    return members


def _end_of(run: Run) -> dict[str, Any]:
    """Return the state at the end: the rows as clients know them, and the lists as each user reads them.

    Since when something holds, and where the life of a list began, is not compared: in a batch it is the end of that.
    """
    tables = run.tables()
    assert faults(tables) == []
    lists = ["/buckets", "/accounts", *(f"{bucket}/{kind}" for bucket in BUCKETS for kind in ("groups", "collections"))]
    lists += [f"{bucket}/collections/{object_id}/records" for bucket in BUCKETS for object_id in "cd"]
    return {
        "documents": {
            key: (row.list, row.born, row.last_modified, row.deleted, json.dumps(_document(row), sort_keys=True))
            for key, row in tables.documents.items()
        },
        "grants": tables.granted,
        "clocks": {key: (row.last_modified, row.count) for key, row in tables.clocks.items()},
        "memberships": tables.memberships,
        **{who: run.batch([Request(who, "GET", f"{name}?_since=0") for name in lists]) for who in _SEERS},
    }


_SEERS = ("alice", "bob", "dora", "nobody")


def _document(row: Any) -> Any:
    document = row.data if isinstance(row.data, dict) else json.loads(row.data)
    return {name: value for name, value in document.items() if name != "password"}


def _member(request: Request) -> dict[str, Any]:
    """Return a request as a member of a batch."""
    credentials = PEOPLE[request.who]
    query = "&".join(f"{name}={value}" for name, value in request.query.items())
    headers = {**request.headers, **({} if credentials is None else {"Authorization": credentials})}
    member = {"method": request.method, "path": request.path + (f"?{query}" if query else ""), "headers": headers}
    return member if request.body is None else {**member, "body": request.body}


def _comparable(answer: Answer) -> Reply:
    """Return the parts of an answer that are compared; parts without an order are sorted."""
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        headers[name.title()] = ", ".join(filter(None, (headers.get(name.title()), value)))
    body = answer.json or None
    if isinstance(body, dict) and "JSON Patch operation failed" in body.get("message", ""):
        body = body["code"]  # the document is quoted, whose members have no order
    elif isinstance(body, dict) and "permissions" in body:
        body = {**body, "permissions": {name: sorted(who) for name, who in body["permissions"].items()}}
    return answer.status, body, {name: value for name, value in headers.items() if name not in _NOT_COMPARED}


_NOT_COMPARED = ("Content-Length", "Expires", "Access-Control-Expose-Headers", "Content-Type")
