"""The decisions: what comes of an operation, by the facts of a snapshot. Pure; `perform` does what they say.

Each decision raises its errors in the order of C-URL-28.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app import queries
from app.conditions import ANY
from app.errors import ApiError, Forbidden, Invalid, Modified, Problem, Unauthenticated, Unknown, UnknownParent
from app.kinds import Data, Kind, Kinds, Route
from app.operation import Effect, Operation, Outcome, Permissions
from app.permissions import Access, Configured, access
from app.validation import validate
from app.work import Work
from backends import Json
from backends.codec import dumps
from backends.storage import Stored

_INTERNAL = ("id", "last_modified", "__permissions__")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of deciding: who is granted what, whether writers are entered, whether schemas apply."""

    kinds: Kinds
    configured: Configured
    explicit_permissions: bool = True
    schema_validation: bool = False


def decide(operation: Operation, seen: Work, rules: Rules) -> Outcome:
    """Decide one operation. Raises the ApiError that is its answer otherwise."""
    return _DECISIONS[operation.method, operation.route.on_list](operation, seen, rules)


def get(operation: Operation, seen: Work, rules: Rules) -> Outcome:
    """Read one object (core contract, 4.6; 304 of RFC 9110, section 13.1.2)."""
    uri = operation.route.uri
    _expect_negotiated(operation)
    able = _access(operation, seen, rules)
    _admit(operation, able.may_read(uri))
    _expect_parent(operation.route, seen)
    stored = _expect_object(operation, seen, able)
    if operation.conditions.fresh(stored.timestamp):
        return Outcome(200, stored.timestamp, fresh=True)
    _expect_unmodified(operation, stored, able)
    shown = None if operation.query and operation.query.fields else _shown(operation, seen, able, uri)
    return Outcome(
        200,
        stored.timestamp,
        data=_text(operation, stored),
        permissions=shown,
        cache_expires=_cache_expires(operation, seen),
        read=(stored,),
        clock=seen.clock(operation.route.list),
    )


def get_list(operation: Operation, seen: Work, rules: Rules) -> Outcome:
    """Read a page of a list, or with HEAD its total (core contract, 6 and 7.5)."""
    _expect_negotiated(operation)
    able = _access(operation, seen, rules)
    _admit_to_list(operation, seen, able, able.may_read_all())
    _expect_parent(operation.route, seen)
    _expect_valid(operation)
    timestamp = seen.clock(operation.route.uri)
    if operation.conditions.fresh(timestamp):
        return Outcome(200, timestamp, fresh=True)
    _expect_list_unmodified(operation, timestamp)
    query = _expect_query(operation)
    expires = _cache_expires(operation, seen)
    if operation.method == "HEAD":
        return Outcome(200, timestamp, total=seen.seen.total, cache_expires=expires)
    rows = seen.seen.page[: query.limit]
    return Outcome(
        200,
        timestamp,
        rows=tuple(_text(operation, stored) for stored in rows),
        next=_next(query, rows, seen),
        cache_expires=expires,
        read=tuple(rows),
    )


def post(operation: Operation, seen: Work, rules: Rules) -> Outcome:
    """Create an object in a list, or answer the one that has the id already (core contract, 4.4)."""
    route, id = operation.route, operation.body.id
    _expect_parent(route, seen)
    if not operation.body.generated and not operation.kind.generator.match(id or ""):
        raise Invalid(Problem("path", None, "Invalid object id"))
    _expect_negotiated(operation)
    able = _access(operation, seen, rules)
    _expect_not_refused(operation, able, None if operation.body.generated else id)
    uri = f"{route.uri}/{id}"
    stored = seen.living(uri)
    if stored is not None:
        _admit(operation, able.may_read(uri))
        _prepared(operation, stored)
        _expect_unmodified(operation, stored, able)
        shown = _shown(operation, seen, able, uri)
        return Outcome(
            200,
            stored.timestamp,
            data=_text(operation, stored),
            permissions=shown,
            read=(stored,),
            clock=seen.clock(route.uri),
        )
    _admit(operation, able.may_create())
    data, requested = _prepared(operation, None)
    if operation.conditions.match is not None:
        raise Modified(seen.clock(route.uri))
    _expect_parent_to_create_in(operation, seen)
    return _save(operation, seen, rules, uri, data, operation.body.permissions or {}, requested)


def put(operation: Operation, seen: Work, rules: Rules) -> Outcome:
    """Create or replace an object (core contract, 4.5)."""
    uri = operation.route.uri
    _expect_parent(operation.route, seen)
    _expect_negotiated(operation)
    able = _access(operation, seen, rules)
    _expect_not_refused(operation, able, operation.route.id)
    stored = seen.living(uri)
    creates = stored is None or operation.conditions.none_match == ANY
    _admit(operation, able.may_create() if creates else able.may_write(uri))
    data, requested = _prepared(operation, stored)
    _expect_id(operation)
    _expect_unmodified(operation, stored, able, missing=seen.clock(operation.route.list))
    if operation.body.id not in (None, operation.route.id):
        raise _other_id()
    if stored is None:
        _expect_parent_to_create_in(operation, seen)
    granted = operation.body.permissions or seen.permissions(uri)
    return _save(operation, seen, rules, uri, data, granted, requested)


def patch(operation: Operation, seen: Work, rules: Rules) -> Outcome:
    """Change an object by one of the three kinds of patches (core contract, 4.7 to 4.10)."""
    uri, change = operation.route.uri, operation.body.patch
    _expect_parent(operation.route, seen)
    _expect_negotiated(operation)
    able = _access(operation, seen, rules)
    stored = seen.living(uri)
    _admit(operation, able.may_write(uri) if stored else able.may_read_all())
    stored = _expect_object(operation, seen, able)
    _expect_unmodified(operation, stored, able)
    assert change is not None, "a PATCH without problems has a patch"
    before = stored.data()
    after, granted = change.apply(operation.kind.behaviour.conceal(before), seen.permissions(uri))
    if after.get("id", stored.id) != stored.id:
        raise _other_id()
    data, requested = _received(after)
    data, problems = operation.kind.behaviour.prepare(operation.kind.name, data, _attributes(before), "")
    if problems:
        raise Invalid(*problems)
    outcome = _save(operation, seen, rules, uri, data or {}, granted, requested)
    return _behave(operation, outcome, before, after)


def delete(operation: Operation, seen: Work, rules: Rules) -> Outcome:
    """Delete an object and all below it; a tombstone stays (core contract, 4.11 and 4.13)."""
    uri = operation.route.uri
    _expect_parent(operation.route, seen)
    _expect_negotiated(operation)
    able = _access(operation, seen, rules)
    stored = seen.living(uri)
    _admit(operation, able.may_write(uri) if stored else able.may_read_all())
    stored = _expect_object(operation, seen, able)
    _expect_unmodified(operation, stored, able)
    timestamp, clock = _stamp(operation.deleted_at, stored.timestamp, seen.clock(operation.route.list), seen.now)
    effect = _deletion(operation.kind, stored, timestamp, clock)
    return Outcome(200, timestamp, data=effect.new.text, effects=(effect,))


def delete_list(operation: Operation, seen: Work, rules: Rules) -> Outcome:
    """Delete the objects of a list that match and that the identity may write (core contract, 4.12)."""
    _expect_negotiated(operation)
    able = _access(operation, seen, rules)
    _admit_to_list(operation, seen, able, able.may_write_all())
    _expect_parent(operation.route, seen)
    _expect_valid(operation)
    clock = seen.clock(operation.route.uri)
    _expect_list_unmodified(operation, clock)
    query = _expect_query(operation)
    rows = seen.seen.page[: query.limit]
    effects = []
    for stored in rows:
        clock = max(seen.now, clock + 1)
        effects.append(_deletion(operation.kind, stored, clock, clock))
    return Outcome(
        200,
        clock,
        rows=tuple(effect.new.text for effect in effects),
        next=_next(query, rows, seen, operation.nonce),
        effects=tuple(effects),
    )


_DECISIONS: Mapping[tuple[str, bool], Callable[[Operation, Work, Rules], Outcome]] = {
    ("GET", False): get,
    ("HEAD", False): get,
    ("PUT", False): put,
    ("PATCH", False): patch,
    ("DELETE", False): delete,
    ("GET", True): get_list,
    ("HEAD", True): get_list,
    ("POST", True): post,
    ("DELETE", True): delete_list,
}


def _access(operation: Operation, seen: Work, rules: Rules) -> Access:
    return access(operation.route, operation.identity, seen.seen, rules.configured)


def _admit(operation: Operation, allowed: bool) -> None:
    if not allowed:
        raise Unauthenticated if operation.identity.user_id is None else Forbidden


def _admit_to_list(operation: Operation, seen: Work, able: Access, everything: bool) -> None:
    """Admit to the whole list, to what is shared of it, or to an empty one (C-PERM-12 to C-PERM-15)."""
    bounded = _own(operation) is not None
    _admit(operation, everything or seen.seen.shares or able.may_create() or bounded)


def _own(operation: Operation) -> str | None:
    """Return the id of the only object that the identity deals with; nobody in particular has one (P-ACC-12)."""
    own = operation.kind.behaviour.own(operation.identity)
    _admit(operation, own is None or operation.identity.user_id is not None)
    return own


def _expect_parent(route: Route, seen: Work) -> None:
    """Raise UnknownParent when an id around is none, or when nothing is said before the parent is known."""
    malformed = route.malformed_ancestor()
    if malformed:
        raise UnknownParent(malformed[0].name, malformed[1])
    parent = route.parent()
    if route.kind.must_have_parent and parent and seen.living(parent[1]) is None:
        raise UnknownParent(parent[0].name, route.ids[len(route.kinds) - 2])


def _expect_negotiated(operation: Operation) -> None:
    if operation.negotiation:
        raise operation.negotiation


def _expect_not_refused(operation: Operation, able: Access, id: str | None) -> None:
    refused = operation.kind.behaviour.refuse(operation.identity, id, able.by_settings("write"))
    if refused:
        raise refused


def _expect_valid(operation: Operation) -> None:
    if operation.problems:
        raise Invalid(*operation.problems)


def _expect_id(operation: Operation) -> None:
    if not operation.kind.generator.match(operation.route.id):
        raise Invalid(Problem("path", None, "Invalid object id"))


def _expect_object(operation: Operation, seen: Work, able: Access) -> Stored:
    """Return the object; raise what is wrong with the request (steps 11 and 12) or that there is none."""
    _expect_valid(operation)
    _expect_id(operation)
    stored = seen.living(operation.route.uri)
    bounded = _own(operation) not in (None, operation.route.id) and not able.by_settings("read", "write")
    if stored is None or bounded:
        raise Unknown(operation.kind.name, operation.route.id)
    return stored


def _expect_unmodified(operation: Operation, stored: Stored | None, able: Access, missing: int = 0) -> None:
    """Raise Modified when the conditions fail; the object is told to those who may read it (C-ERR-44)."""
    if not operation.conditions.broken_by(stored.timestamp if stored else None):
        return
    if stored is None:
        raise Modified(missing)
    raise Modified(stored.timestamp, _public(operation.kind, stored) if able.may_read(stored.uri) else None)


def _expect_list_unmodified(operation: Operation, timestamp: int) -> None:
    if operation.conditions.broken_by(timestamp):
        raise Modified(timestamp)


def _expect_query(operation: Operation) -> queries.Query:
    query = operation.query
    assert query is not None, "an operation on a list has a query"
    if query.refusal:
        raise Invalid(query.refusal)
    return query


def _other_id() -> ApiError:
    return Invalid(Problem("body", "id", "Object id does not match existing object"))


def _shown(operation: Operation, seen: Work, able: Access, uri: str) -> Permissions:
    """Return the permissions for who is in `write`, and for whom the settings let write in the name of one who is."""
    granted = seen.permissions(uri)
    writer = operation.kind.behaviour.writer(operation.identity, uri[uri.rindex("/") + 1 :])
    stands_in = able.by_settings("write") and writer in granted.get("write", ())
    return granted if stands_in or able.sees_permissions(uri) else {}


def _public(kind: Kind, stored: Stored) -> Data:
    return {name: value for name, value in stored.data().items() if name not in kind.private}


def public_text(kind: Kind, stored: Stored) -> str:
    """Return the object's document without the fields that never leave."""
    return dumps(_public(kind, stored)) if kind.private else stored.text


def _text(operation: Operation, stored: Stored) -> str:
    if operation.query and operation.query.fields:
        return dumps(queries.project(_public(operation.kind, stored), operation.query.fields))
    return public_text(operation.kind, stored)


def _cache_expires(operation: Operation, seen: Work) -> Json:
    """Return what the collection says of caching its records; asked for anonymous readers only (C-HDR-17)."""
    parent = operation.route.parent()
    if not operation.kind.must_have_parent or parent is None or operation.identity.user_id is not None:
        return None
    stored = seen.living(parent[1])
    return stored.data().get("cache_expires") if stored else None


def _next(query: queries.Query, rows: list[Stored], seen: Work, nonce: str | None = None) -> str | None:
    return queries.token(query, rows[-1], nonce) if len(seen.seen.page) > query.limit else None


def _attributes(document: Data) -> Data:
    return {name: value for name, value in document.items() if name not in _INTERNAL}


def _received(data: Data | None) -> tuple[Data | None, int | None]:
    """Split what a client sent into attributes and the timestamp that it wishes for (C-OBJ-73, C-OBJ-75)."""
    if data is None:
        return None, None
    wish = data.get("last_modified")
    return _attributes(data), wish if isinstance(wish, int) and not isinstance(wish, bool) else None


def _prepared(operation: Operation, stored: Stored | None) -> tuple[Data, int | None]:
    """Return the attributes that a POST or PUT makes, and the timestamp that it wishes for.

    Raises Invalid with all that is wrong with the request and with its attributes (step 11 of C-URL-28).
    """
    if operation.problems and operation.body.data is None:
        raise Invalid(*operation.problems)
    old = _attributes(stored.data()) if stored else None
    data, requested = _received(operation.body.data)
    data, problems = operation.kind.behaviour.prepare(operation.kind.name, data, old, "data.")
    if operation.problems or problems:
        raise Invalid(*operation.problems, *problems)
    return data, requested


def _expect_parent_to_create_in(operation: Operation, seen: Work) -> None:
    parent = operation.route.parent()
    if parent and seen.living(parent[1]) is None:
        raise UnknownParent(parent[0].name, operation.route.ids[len(operation.route.kinds) - 2])


def _save(
    operation: Operation,
    seen: Work,
    rules: Rules,
    uri: str,
    attributes: Data,
    granted: Permissions,
    requested: int | None,
) -> Outcome:
    """Make the object that results: checked by the schemas, with its timestamp, its writer entered (C-OBJ-70)."""
    kind, id = operation.kind, uri[uri.rindex("/") + 1 :]
    old, former = seen.living(uri), seen.seen.objects.get(uri)
    timestamp, clock = _stamp(
        requested, former.timestamp if former else None, seen.clock(operation.route.list), seen.now
    )
    document = {**attributes, "id": id, "last_modified": timestamp}
    if rules.schema_validation:
        document = _validated(operation, seen, document)
    born = former.born if former else timestamp
    stored = Stored(uri, timestamp, False, born, dumps(document))
    permissions = {name: frozenset(principals) for name, principals in granted.items() if principals}
    if rules.explicit_permissions:
        writer = kind.behaviour.writer(operation.identity, id)
        permissions["write"] = permissions.get("write", frozenset()) | {writer}
    effect = Effect(kind, stored, old, permissions, clock)
    seers = _access(operation, seen, rules).principals | {kind.behaviour.writer(operation.identity, id)}
    return Outcome(
        201 if old is None else 200,
        timestamp,
        data=public_text(kind, stored),
        permissions={} if seers.isdisjoint(permissions.get("write", ())) else permissions,
        effects=(effect,),
    )


def _stamp(requested: int | None, current: int | None, clock: int, now: int) -> tuple[int, int]:
    """Return the timestamp of a write and the list's clock after it (core contract, 5.1 and 5.2)."""
    if requested is None or requested < 0 or (current is not None and requested <= current):
        ticked = max(now, clock + 1)
        return ticked, ticked
    if requested == clock:
        return clock + 1, clock + 1
    return requested, max(clock, requested)


def _deletion(kind: Kind, stored: Stored, timestamp: int, clock: int) -> Effect:
    text = dumps({"id": stored.id, "last_modified": timestamp, "deleted": True})
    return Effect(kind, Stored(stored.uri, timestamp, True, stored.born, text), stored, {}, clock)


def _validated(operation: Operation, seen: Work, document: Data) -> Data:
    """Check an object against the schemas of its collection and its bucket (core contract, 10.2 and 10.4).

    An id that the server made is not looked at.
    """
    shown = {name: value for name, value in document.items() if name != "id" or not operation.body.generated}
    parent, ancestors = operation.route.parent(), operation.route.ancestors()
    if parent and operation.kind.must_have_parent:
        collection = seen.living(parent[1])
        schema = collection.data().get("schema") if collection else None
        if collection and schema is not None:
            _expect_schema(shown, schema)
            document = {**document, "schema": collection.timestamp}
    bucket = seen.living(ancestors[0]) if ancestors else None
    schema = bucket.data().get(f"{operation.kind.name}:schema") if bucket else None
    if schema is not None:
        _expect_schema(shown, schema)
    return document


def _expect_schema(document: Data, schema: Json) -> None:
    problem = validate(document, schema)
    if problem:
        raise Invalid(problem)


def _behave(operation: Operation, outcome: Outcome, before: Data, after: Data) -> Outcome:
    """Reduce the answer of a PATCH as `Response-Behavior` asks (core contract, 4.10)."""
    change = operation.body.patch
    if operation.behaviour == "full" or change is None:
        return outcome
    new = _public(operation.kind, outcome.effects[0].new)
    shown = change.behave(operation.behaviour, before, after, new)
    return Outcome(outcome.status, outcome.timestamp, data=dumps(shown), effects=outcome.effects)
