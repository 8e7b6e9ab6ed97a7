"""What a decision expects before it goes on; each check raises the error of its step (C-URL-28)."""

from __future__ import annotations

from app.decisions.permissions import Access, access
from app.decisions.rules import Rules
from app.decisions.showing import public
from app.decisions.working_set import WorkingSet
from app.errors import ApiError, Forbidden, Invalid, Modified, Problem, Unauthenticated, Unknown, UnknownParent
from app.kinds import Route
from app.operation import Operation
from backends.storage import Stored


def access_of(operation: Operation, seen: WorkingSet, rules: Rules) -> Access:
    """Return what the identity of an operation may do."""
    return access(operation.route, operation.identity, seen.snapshot, rules.configured)


def admit(operation: Operation, allowed: bool) -> None:
    """Raise Unauthenticated or Forbidden unless it is allowed (C-ERR-5, C-ERR-7)."""
    if not allowed:
        raise Unauthenticated if operation.identity.user_id is None else Forbidden


def own_id(operation: Operation) -> str | None:
    """Return the id of the only object that the identity deals with; nobody in particular has one (P-ACC-12)."""
    own = operation.kind.behaviour.own(operation.identity)
    admit(operation, own is None or operation.identity.user_id is not None)
    return own


def expect_parent(route: Route, seen: WorkingSet) -> None:
    """Raise UnknownParent when an id around is none, or when nothing is said before the parent is known."""
    malformed = route.malformed_ancestor()
    if malformed:
        raise UnknownParent(malformed[0].name, malformed[1])
    parent = route.parent
    if route.kind.must_have_parent and parent and seen.living(parent.uri) is None:
        raise UnknownParent(parent.kind.name, parent.id)


def expect_parent_to_create_in(operation: Operation, seen: WorkingSet) -> None:
    """Raise UnknownParent where an object would be born in nothing (core contract, 3.8)."""
    parent = operation.route.parent
    if parent and seen.living(parent.uri) is None:
        raise UnknownParent(parent.kind.name, parent.id)


def expect_negotiated(operation: Operation) -> None:
    """Raise the 406 or 415 of the request (steps 7 and 8)."""
    if operation.negotiation:
        raise operation.negotiation


def expect_not_refused(operation: Operation, able: Access, id: str | None) -> None:
    """Raise what the kind itself has against the writer."""
    refused = operation.kind.behaviour.refuse(operation.identity, id, able.by_settings("write"))
    if refused:
        raise refused


def expect_valid(operation: Operation) -> None:
    """Raise Invalid with all problems of headers, query and body (step 11)."""
    if operation.problems:
        raise Invalid(*operation.problems)


def expect_id(operation: Operation) -> None:
    """Raise Invalid when the object cannot have this id (C-ERR-35)."""
    if not operation.kind.generator.match(operation.route.id):
        raise Invalid(Problem("path", None, "Invalid object id"))


def expect_object(operation: Operation, seen: WorkingSet, able: Access) -> Stored:
    """Return the object; raise what is wrong with the request (steps 11 and 12) or that there is none."""
    expect_valid(operation)
    expect_id(operation)
    stored = seen.living(operation.route.uri)
    bounded = own_id(operation) not in (None, operation.route.id) and not able.by_settings("read", "write")
    if stored is None or bounded:
        raise Unknown(operation.kind.name, operation.route.id)
    return stored


def expect_unmodified(operation: Operation, stored: Stored | None, able: Access, missing: int = 0) -> None:
    """Raise Modified when the conditions fail; the object is told to those who may read it (C-ERR-44)."""
    if not operation.conditions.broken_by(stored.timestamp if stored else None):
        return
    if stored is None:
        raise Modified(missing)
    raise Modified(stored.timestamp, public(operation.kind, stored) if able.may_read(stored.uri) else None)


def other_id() -> ApiError:
    """Return the error of a body that names another object (C-OBJ-14)."""
    return Invalid(Problem("body", "id", "Object id does not match existing object"))
