"""The checks of a decision, in the order of C-URL-28; each raises the error of its step."""

from __future__ import annotations

from app.decisions.permissions import Access, collect_access
from app.decisions.rules import Rules
from app.decisions.showing import public_document
from app.decisions.working_set import WorkingSet
from app.errors import ApiError, Forbidden, Invalid, Modified, Problem, Unauthenticated, Unknown, UnknownParent
from app.kinds import Kind, Route
from app.operation import Operation
from backends.storage import Stored


def access_of(operation: Operation, working_set: WorkingSet, rules: Rules) -> Access:
    """Return the access of the operation's identity to the operation's route."""
    return collect_access(operation.route, operation.identity, working_set.snapshot, rules.principals_for)


def admit(operation: Operation, *, allowed: bool) -> None:
    """Raise Unauthenticated or Forbidden unless the operation is allowed (C-ERR-5, C-ERR-7)."""
    if not allowed:
        raise Unauthenticated if operation.identity.user_id is None else Forbidden


def own_object_id(operation: Operation) -> str | None:
    """Return the id of the only object that the kind lets the identity use, None without such a limit (P-ACC-12).

    Raises Unauthenticated for an anonymous identity where there is a limit.
    """
    own = operation.kind.hooks.own_object_id(operation.identity)
    if own is not None and operation.identity.user_id is None:
        raise Unauthenticated
    return own


def expect_parent(route: Route, working_set: WorkingSet) -> None:
    """Raise UnknownParent for an invalid id of an ancestor, or for a missing parent if the kind requires one first."""
    ancestor = route.ancestor_with_invalid_id()
    if ancestor:
        kind, object_id = ancestor
        raise UnknownParent(kind.name, object_id)
    parent = route.parent
    if route.kind.must_have_parent and parent and working_set.living(parent.uri) is None:
        raise UnknownParent(parent.kind.name, parent.id)


def expect_parent_to_create_in(operation: Operation, working_set: WorkingSet) -> None:
    """Raise UnknownParent when an object would be created in a parent that does not exist (core contract, 3.8)."""
    parent = operation.route.parent
    if parent and working_set.living(parent.uri) is None:
        raise UnknownParent(parent.kind.name, parent.id)


def expect_negotiated(operation: Operation) -> None:
    """Raise the 406 or 415 of the request (steps 7 and 8)."""
    if operation.negotiation:
        raise operation.negotiation


def expect_accepted_by_kind(operation: Operation, access: Access, object_id: str | None) -> None:
    """Raise the error with which the kind itself rejects this writer, if it does."""
    error = operation.kind.hooks.write_error(
        operation.identity, object_id, may_write_all=access.settings_allow("write")
    )
    if error:
        raise error


def expect_none(*problems: Problem) -> None:
    """Raise Invalid with all *problems* if there are any (step 11)."""
    if problems:
        raise Invalid(*problems)


def expect_valid(operation: Operation) -> None:
    """Raise Invalid with all problems of headers, query and body (step 11)."""
    if operation.problems:
        raise Invalid(*operation.problems)


def expect_id(kind: Kind, object_id: str) -> None:
    """Raise Invalid when the id is not valid for this kind of object (C-ERR-35)."""
    if not kind.generator.match(object_id):
        raise Invalid(Problem("path", None, "Invalid object id"))


def expect_object(operation: Operation, working_set: WorkingSet, access: Access) -> Stored:
    """Return the object. Raises Invalid for a faulty request (step 11) and Unknown for a missing object (step 12)."""
    expect_valid(operation)
    expect_id(operation.kind, operation.route.id)
    stored = working_set.living(operation.route.uri)
    belongs_to_another = own_object_id(operation) not in (None, operation.route.id)
    if stored is None or (belongs_to_another and not access.settings_allow("read", "write")):
        raise Unknown(operation.kind.name, operation.route.id)
    return stored


def expect_unmodified(operation: Operation, stored: Stored | None, access: Access, missing: int = 0) -> None:
    """Raise Modified when the preconditions fail; the error shows the object to identities that may read it (C-ERR-44).

    *missing* is the timestamp that the error has when there is no object.
    """
    if not operation.conditions.fail_for(stored.timestamp if stored else None):
        return
    if stored is None:
        raise Modified(missing)
    raise Modified(stored.timestamp, public_document(operation.kind, stored) if access.may_read(stored.uri) else None)


def id_mismatch() -> ApiError:
    """Return the error of a body that names another object than the path (C-OBJ-14)."""
    return Invalid(Problem("body", "id", "Object id does not match existing object"))
