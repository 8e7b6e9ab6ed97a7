"""The object that a write makes: checked attributes, timestamp, permissions (core contract, 4 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.decisions.checks import access_of, expect_none, expect_valid
from app.decisions.declaring import index_problems
from app.decisions.rules import Rules
from app.decisions.showing import public_text
from app.decisions.working_set import WorkingSet, next_timestamp
from app.errors import Invalid, Problem
from app.kinds import Data, Kind
from app.operation import Effect, Operation, Outcome, Permissions
from app.schemas.validation import validate
from backends import Json
from backends.codec import dumps
from backends.storage import Stored, id_of

_INTERNAL = ("id", "last_modified", "__permissions__")


LAST_TIMESTAMP: Final = 253370764800000
"""1 January 9999: later timestamps cannot be written as an HTTP date (C-PRE-10)."""


@dataclass(frozen=True, slots=True)
class RequestedTimestamp:
    """A timestamp in ms that a client asks for, with its place in the request for the error message."""

    timestamp: int
    location: str
    name: str


@dataclass(frozen=True, slots=True)
class Draft:
    """The object that a write asks for: the client's attributes, its permissions, and the timestamp if any."""

    uri: str
    attributes: Data
    permissions: Permissions
    requested: RequestedTimestamp | None


def client_attributes(document: Data) -> Data:
    """Return the members of a document that belong to the client."""
    return {name: value for name, value in document.items() if name not in _INTERNAL}


def split_timestamp(data: Data | None, prefix: str) -> tuple[Data | None, RequestedTimestamp | None]:
    """Split the data of a client into attributes and the requested timestamp (C-OBJ-73, C-OBJ-75).

    *prefix* begins the names of problems: `data.`, or nothing for the result of a patch.
    """
    if data is None:
        return None, None
    timestamp = data.get("last_modified")
    if not isinstance(timestamp, int) or isinstance(timestamp, bool):
        return client_attributes(data), None
    return client_attributes(data), RequestedTimestamp(timestamp, "body", f"{prefix}last_modified")


def prepare(
    operation: Operation, working_set: WorkingSet, rules: Rules, uri: str
) -> tuple[Data, RequestedTimestamp | None]:
    """Return the attributes that a POST or PUT makes, and the requested timestamp.

    Raises Invalid with all problems of the request and of its attributes (step 11 of C-URL-28).
    """
    if operation.body.data is None:
        expect_valid(operation)
    stored, former = working_set.living(uri), working_set.snapshot.objects.get(uri)
    old = client_attributes(stored.data()) if stored else None
    data, requested = split_timestamp(operation.body.data, "data.")
    data, problems = operation.kind.hooks.prepare_attributes(operation.kind.name, data, old, "data.")
    current = former.timestamp if former else None
    future_problems = _future_problems(requested, current, working_set.now, rules) if requested else ()
    expect_none(*operation.problems, *future_problems, *problems, *index_problems(operation, data, "data."))
    return data, requested


def save(operation: Operation, working_set: WorkingSet, rules: Rules, draft: Draft) -> Outcome:
    """Return the outcome of writing *draft*: validated by schemas, stamped, its writer in `write` (C-OBJ-70)."""
    kind, uri = operation.kind, draft.uri
    object_id = id_of(uri)
    old, former = working_set.living(uri), working_set.snapshot.objects.get(uri)
    timestamp, clock = stamp(
        draft.requested,
        former.timestamp if former else None,
        working_set.clock(operation.route.list),
        working_set.now,
        rules,
    )
    attributes = kind.hooks.attributes_to_store(uri, draft.attributes, working_set.slow_results)
    document = {**attributes, "id": object_id, "last_modified": timestamp}
    if rules.schema_validation:
        document = _validate(operation, working_set, document)
    stored = Stored(uri, timestamp, deleted=False, born=timestamp, text=dumps(document))
    permissions = {name: frozenset(principals) for name, principals in draft.permissions.items() if principals}
    writer, writers = kind.hooks.writer(operation.identity, object_id), permissions.get("write", frozenset())
    if rules.explicit_permissions:
        writers = permissions["write"] = writers | {writer}
    effect = Effect(kind, stored, old, permissions, clock)
    shows_permissions = writer in writers or bool(writers & access_of(operation, working_set, rules).principals)
    return Outcome(
        201 if old is None else 200,
        timestamp,
        data=public_text(kind, stored),
        permissions=permissions if shows_permissions else {},
        effects=(effect,),
    )


def stamp(
    requested: RequestedTimestamp | None, current: int | None, clock: int, now: int, rules: Rules
) -> tuple[int, int]:
    """Return the timestamp of a write and the list's clock after it (core contract, 5.1 and 5.2).

    Every timestamp that a client chooses is checked here. Raises Invalid for one that is too far ahead (C-PRE-10).
    """
    if requested:
        expect_none(*_future_problems(requested, current, now, rules))
    if requested is None or requested.timestamp < 0 or (current is not None and requested.timestamp <= current):
        following = next_timestamp(clock, now)
        return following, following
    if requested.timestamp == clock:
        return clock + 1, clock + 1
    return requested.timestamp, max(clock, requested.timestamp)


def _future_problems(requested: RequestedTimestamp, current: int | None, now: int, rules: Rules) -> tuple[Problem, ...]:
    """Return the problem of a timestamp that is too far ahead.

    A timestamp that will be dropped is no problem: clients may send back the current timestamp of an object, whatever
    its value.
    """
    latest = max(current or 0, min(now + rules.timestamp_max_ahead_ms, LAST_TIMESTAMP))
    if requested.timestamp <= latest:
        return ()
    description = f"{requested.timestamp} is greater than maximum value {latest}"
    return (Problem(requested.location, requested.name, description),)


def deletion_effect(kind: Kind, stored: Stored, timestamp: int, clock: int) -> Effect:
    """Return the effect of deleting an object: its tombstone (C-OBJ-45)."""
    text = dumps({"id": stored.id, "last_modified": timestamp, "deleted": True})
    return Effect(kind, Stored(stored.uri, timestamp, deleted=True, born=stored.born, text=text), stored, {}, clock)


def _validate(operation: Operation, working_set: WorkingSet, document: Data) -> Data:
    """Validate an object by the schemas of its collection and its bucket (core contract, 10.2 and 10.4).

    An id that the server generated is not validated, nor are private fields: an error shows the value that is wrong.
    Returns the document, with `schema` where a collection has one.
    """
    hidden = (*operation.kind.private, *(("id",) if operation.body.generated else ()))
    instance = {name: value for name, value in document.items() if name not in hidden}
    parent, ancestors = operation.route.parent, operation.route.ancestors
    if parent and operation.kind.must_have_parent:
        collection = working_set.living(parent.uri)
        schema = collection.data().get("schema") if collection else None
        if collection and schema is not None:
            _expect_schema(instance, schema)
            document = {**document, "schema": collection.timestamp}
    bucket = working_set.living(ancestors[0]) if ancestors else None
    schema = bucket.data().get(f"{operation.kind.name}:schema") if bucket else None
    if schema is not None:
        _expect_schema(instance, schema)
    return document


def _expect_schema(document: Data, schema: Json) -> None:
    problem = validate(document, schema)
    if problem:
        raise Invalid(problem)
