"""The decisions on single objects, from the facts of a snapshot (core contract, 4.4 to 4.11). Pure."""

from __future__ import annotations

from dataclasses import replace

from app.decisions.checks import (
    access_of,
    admit,
    expect_accepted_by_kind,
    expect_id,
    expect_negotiated,
    expect_none,
    expect_object,
    expect_parent,
    expect_parent_to_create_in,
    expect_unmodified,
    id_mismatch,
)
from app.decisions.declaring import index_problems
from app.decisions.rules import Rules
from app.decisions.saving import (
    Draft,
    RequestedTimestamp,
    client_attributes,
    deletion_effect,
    prepare,
    save,
    split_timestamp,
    stamp,
)
from app.decisions.showing import cache_expires, mask, public_document, text_of, unmask, visible_permissions
from app.decisions.working_set import WorkingSet
from app.errors import Modified
from app.kinds import Data
from app.operation import Operation, Outcome
from app.parsing.conditions import ANY
from backends.codec import dumps
from backends.storage import Stored


def get(operation: Operation, working_set: WorkingSet, rules: Rules) -> Outcome:
    """Read one object (core contract, 4.6; 304 of RFC 9110, section 13.1.2)."""
    uri = operation.route.uri
    expect_negotiated(operation)
    access = access_of(operation, working_set, rules)
    admit(operation, allowed=access.may_read(uri))
    expect_parent(operation.route, working_set)
    stored = expect_object(operation, working_set, access)
    if operation.conditions.is_fresh(stored.timestamp):
        return Outcome(200, stored.timestamp, fresh=True)
    expect_unmodified(operation, stored, access)
    selects_fields = operation.query and operation.query.fields
    return Outcome(
        200,
        stored.timestamp,
        data=text_of(operation, stored),
        permissions=None if selects_fields else visible_permissions(operation, working_set, access, uri),
        cache_expires=cache_expires(operation, working_set),
        read=(stored,),
        clock=working_set.clock(operation.route.list),
    )


def post(operation: Operation, working_set: WorkingSet, rules: Rules) -> Outcome:
    """Create an object in a list, or return the existing object with this id (core contract, 4.4)."""
    route, object_id = operation.route, operation.body.id
    expect_parent(route, working_set)
    if not operation.body.generated:
        expect_id(operation.kind, object_id or "")
    expect_negotiated(operation)
    access = access_of(operation, working_set, rules)
    expect_accepted_by_kind(operation, access, None if operation.body.generated else object_id)
    uri = f"{route.uri}/{object_id}"
    stored = working_set.living(uri)
    if stored is not None:
        admit(operation, allowed=access.may_read(uri))
        prepare(operation, working_set, rules, uri)
        expect_unmodified(operation, stored, access)
        return Outcome(
            200,
            stored.timestamp,
            data=text_of(operation, stored),
            permissions=visible_permissions(operation, working_set, access, uri),
            read=(stored,),
            clock=working_set.clock(route.uri),
        )
    admit(operation, allowed=access.may_create())
    attributes, requested = prepare(operation, working_set, rules, uri)
    if operation.conditions.match is not None:
        raise Modified(working_set.clock(route.uri))
    expect_parent_to_create_in(operation, working_set)
    draft = Draft(uri, attributes, operation.body.permissions or {}, requested)
    return save(operation, working_set, rules, draft)


def put(operation: Operation, working_set: WorkingSet, rules: Rules) -> Outcome:
    """Create or replace an object (core contract, 4.5)."""
    uri = operation.route.uri
    expect_parent(operation.route, working_set)
    expect_negotiated(operation)
    access = access_of(operation, working_set, rules)
    expect_accepted_by_kind(operation, access, operation.route.id)
    stored = working_set.living(uri)
    creates = stored is None or operation.conditions.none_match == ANY
    admit(operation, allowed=access.may_create() if creates else access.may_write(uri))
    attributes, requested = prepare(operation, working_set, rules, uri)
    expect_id(operation.kind, operation.route.id)
    expect_unmodified(operation, stored, access, missing=working_set.clock(operation.route.list))
    if operation.body.id not in (None, operation.route.id):
        raise id_mismatch()
    if stored is None:
        expect_parent_to_create_in(operation, working_set)
    permissions = operation.body.permissions or working_set.permissions(uri)
    return save(operation, working_set, rules, Draft(uri, attributes, permissions, requested))


def create_implicitly(operation: Operation, working_set: WorkingSet, rules: Rules) -> Outcome:
    """Create an object without attributes unless it exists, whatever its user may do (plugins contract, 6.2).

    The schemas of its bucket do not apply (P-DEF-18).
    """
    stored = working_set.living(operation.route.uri)
    if stored is not None:
        return Outcome(200, stored.timestamp, fresh=True)
    draft = Draft(operation.route.uri, {}, working_set.permissions(operation.route.uri), None)
    return save(operation, working_set, replace(rules, schema_validation=False), draft)


def patch(operation: Operation, working_set: WorkingSet, rules: Rules) -> Outcome:
    """Change an object by a plain patch, a merge patch or a JSON Patch (core contract, 4.7 to 4.10)."""
    uri, change = operation.route.uri, operation.body.patch
    stored = _expect_changeable(operation, working_set, rules)
    assert change is not None, "a PATCH without problems has a patch"
    before = stored.data()
    masked = mask(operation.kind, before)
    after, permissions = change.apply(masked, working_set.permissions(uri))
    after = unmask(operation.kind, after, masked, before)
    if after.get("id", stored.id) != stored.id:
        raise id_mismatch()
    data, requested = split_timestamp(after, "")
    old = client_attributes(before)
    attributes, problems = operation.kind.hooks.prepare_attributes(operation.kind.name, data, old, "")
    expect_none(*problems, *index_problems(operation, data, ""))
    outcome = save(operation, working_set, rules, Draft(uri, attributes or {}, permissions, requested))
    return _apply_response_behaviour(operation, outcome, before, after)


def delete(operation: Operation, working_set: WorkingSet, rules: Rules) -> Outcome:
    """Delete an object and everything below it; a tombstone stays (core contract, 4.11 and 4.13)."""
    stored = _expect_changeable(operation, working_set, rules)
    deleted_at = operation.deleted_at
    requested = None if deleted_at is None else RequestedTimestamp(deleted_at, "querystring", "last_modified")
    clock = working_set.clock(operation.route.list)
    timestamp, clock = stamp(requested, stored.timestamp, clock, working_set.now, rules)
    effect = deletion_effect(operation.kind, stored, timestamp, clock)
    return Outcome(200, timestamp, data=effect.new.text, effects=(effect,))


def _expect_changeable(operation: Operation, working_set: WorkingSet, rules: Rules) -> Stored:
    """Return the object of a PATCH or DELETE. Raises the error that prevents it, in the order of C-URL-28."""
    uri = operation.route.uri
    expect_parent(operation.route, working_set)
    expect_negotiated(operation)
    access = access_of(operation, working_set, rules)
    admit(operation, allowed=access.may_write(uri) if working_set.living(uri) else access.may_read_all())
    stored = expect_object(operation, working_set, access)
    expect_unmodified(operation, stored, access)
    return stored


def _apply_response_behaviour(operation: Operation, outcome: Outcome, before: Data, after: Data) -> Outcome:
    """Reduce the answer of a PATCH as the `Response-Behavior` header asks (core contract, 4.10)."""
    change = operation.body.patch
    if operation.response_behaviour == "full" or change is None:
        return outcome
    new = public_document(operation.kind, outcome.effects[0].new)
    document = change.reply_members(operation.response_behaviour, before, after, new)
    return Outcome(outcome.status, outcome.timestamp, data=dumps(document), effects=outcome.effects)
