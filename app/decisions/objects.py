"""The decisions on single objects, by the facts of a snapshot (core contract, 4.4 to 4.11). Pure."""

from __future__ import annotations

from app.decisions.checks import (
    access_of,
    admit,
    expect_id,
    expect_negotiated,
    expect_not_refused,
    expect_object,
    expect_parent,
    expect_parent_to_create_in,
    expect_unmodified,
    other_id,
)
from app.decisions.rules import Rules
from app.decisions.saving import Requested, attributes, deletion, prepared, received, save, stamp
from app.decisions.showing import cache_expires, public, shown_permissions, text_of
from app.decisions.working_set import WorkingSet
from app.errors import Invalid, Modified, Problem
from app.kinds import Data
from app.operation import Operation, Outcome
from app.parsing.conditions import ANY
from backends.codec import dumps
from backends.storage import Stored


def get(operation: Operation, seen: WorkingSet, rules: Rules) -> Outcome:
    """Read one object (core contract, 4.6; 304 of RFC 9110, section 13.1.2)."""
    uri = operation.route.uri
    expect_negotiated(operation)
    able = access_of(operation, seen, rules)
    admit(operation, able.may_read(uri))
    expect_parent(operation.route, seen)
    stored = expect_object(operation, seen, able)
    if operation.conditions.fresh(stored.timestamp):
        return Outcome(200, stored.timestamp, fresh=True)
    expect_unmodified(operation, stored, able)
    shown = None if operation.query and operation.query.fields else shown_permissions(operation, seen, able, uri)
    return Outcome(
        200,
        stored.timestamp,
        data=text_of(operation, stored),
        permissions=shown,
        cache_expires=cache_expires(operation, seen),
        read=(stored,),
        clock=seen.clock(operation.route.list),
    )


def post(operation: Operation, seen: WorkingSet, rules: Rules) -> Outcome:
    """Create an object in a list, or answer the one that has the id already (core contract, 4.4)."""
    route, id = operation.route, operation.body.id
    expect_parent(route, seen)
    if not operation.body.generated and not operation.kind.generator.match(id or ""):
        raise Invalid(Problem("path", None, "Invalid object id"))
    expect_negotiated(operation)
    able = access_of(operation, seen, rules)
    expect_not_refused(operation, able, None if operation.body.generated else id)
    uri = f"{route.uri}/{id}"
    stored = seen.living(uri)
    if stored is not None:
        admit(operation, able.may_read(uri))
        prepared(operation, seen, rules, uri)
        expect_unmodified(operation, stored, able)
        shown = shown_permissions(operation, seen, able, uri)
        return Outcome(
            200,
            stored.timestamp,
            data=text_of(operation, stored),
            permissions=shown,
            read=(stored,),
            clock=seen.clock(route.uri),
        )
    admit(operation, able.may_create())
    data, requested = prepared(operation, seen, rules, uri)
    if operation.conditions.match is not None:
        raise Modified(seen.clock(route.uri))
    expect_parent_to_create_in(operation, seen)
    return save(operation, seen, rules, uri, data, operation.body.permissions or {}, requested)


def put(operation: Operation, seen: WorkingSet, rules: Rules) -> Outcome:
    """Create or replace an object (core contract, 4.5)."""
    uri = operation.route.uri
    expect_parent(operation.route, seen)
    expect_negotiated(operation)
    able = access_of(operation, seen, rules)
    expect_not_refused(operation, able, operation.route.id)
    stored = seen.living(uri)
    creates = stored is None or operation.conditions.none_match == ANY
    admit(operation, able.may_create() if creates else able.may_write(uri))
    data, requested = prepared(operation, seen, rules, uri)
    expect_id(operation)
    expect_unmodified(operation, stored, able, missing=seen.clock(operation.route.list))
    if operation.body.id not in (None, operation.route.id):
        raise other_id()
    if stored is None:
        expect_parent_to_create_in(operation, seen)
    granted = operation.body.permissions or seen.permissions(uri)
    return save(operation, seen, rules, uri, data, granted, requested)


def patch(operation: Operation, seen: WorkingSet, rules: Rules) -> Outcome:
    """Change an object by one of the three kinds of patches (core contract, 4.7 to 4.10)."""
    uri, change = operation.route.uri, operation.body.patch
    stored = _expect_changeable(operation, seen, rules)
    assert change is not None, "a PATCH without problems has a patch"
    before = stored.data()
    after, granted = change.apply(operation.kind.behaviour.conceal(before), seen.permissions(uri))
    if after.get("id", stored.id) != stored.id:
        raise other_id()
    data, requested = received(after, "")
    data, problems = operation.kind.behaviour.prepare(operation.kind.name, data, attributes(before), "")
    if problems:
        raise Invalid(*problems)
    outcome = save(operation, seen, rules, uri, data or {}, granted, requested)
    return _behave(operation, outcome, before, after)


def delete(operation: Operation, seen: WorkingSet, rules: Rules) -> Outcome:
    """Delete an object and all below it; a tombstone stays (core contract, 4.11 and 4.13)."""
    stored = _expect_changeable(operation, seen, rules)
    at = operation.deleted_at
    requested = None if at is None else Requested(at, "querystring", "last_modified")
    timestamp, clock = stamp(requested, stored.timestamp, seen.clock(operation.route.list), seen.now, rules)
    effect = deletion(operation.kind, stored, timestamp, clock)
    return Outcome(200, timestamp, data=effect.new.text, effects=(effect,))


def _expect_changeable(operation: Operation, seen: WorkingSet, rules: Rules) -> Stored:
    """Return the object that a PATCH or DELETE is about; raise what hinders it, in the order of C-URL-28."""
    uri = operation.route.uri
    expect_parent(operation.route, seen)
    expect_negotiated(operation)
    able = access_of(operation, seen, rules)
    admit(operation, able.may_write(uri) if seen.living(uri) else able.may_read_all())
    stored = expect_object(operation, seen, able)
    expect_unmodified(operation, stored, able)
    return stored


def _behave(operation: Operation, outcome: Outcome, before: Data, after: Data) -> Outcome:
    """Reduce the answer of a PATCH as `Response-Behavior` asks (core contract, 4.10)."""
    change = operation.body.patch
    if operation.behaviour == "full" or change is None:
        return outcome
    new = public(operation.kind, outcome.effects[0].new)
    shown = change.behave(operation.behaviour, before, after, new)
    return Outcome(outcome.status, outcome.timestamp, data=dumps(shown), effects=outcome.effects)
