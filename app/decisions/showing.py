"""What an answer shows of an object: never its private fields, its permissions only to those who may see them."""

from __future__ import annotations

from app.decisions.permissions import Access
from app.decisions.working_set import WorkingSet
from app.kinds import Data, Kind
from app.operation import Operation, Permissions
from app.parsing import queries
from backends.codec import dumps
from backends.storage import Stored


def public_document(kind: Kind, stored: Stored) -> Data:
    """Return the object's document without the fields that never leave."""
    return {name: value for name, value in stored.data().items() if name not in kind.private}


def public_text(kind: Kind, stored: Stored) -> str:
    """Return the object's document without the fields that never leave."""
    return dumps(public_document(kind, stored)) if kind.private else stored.text


def text_of(operation: Operation, stored: Stored) -> str:
    """Return the object as the answer shows it, reduced to the fields that were asked for (C-LIST-56, C-LIST-57)."""
    if operation.query and operation.query.fields:
        return dumps(queries.project(public_document(operation.kind, stored), operation.query.fields))
    return public_text(operation.kind, stored)


def visible_permissions(operation: Operation, working_set: WorkingSet, access: Access, uri: str) -> Permissions:
    """Return the permissions for who is in `write`, and for whom the settings let write in the name of one who is."""
    granted = working_set.permissions(uri)
    writer = operation.kind.hooks.writer(operation.identity, uri[uri.rindex("/") + 1 :])
    stands_in = access.settings_allow("write") and writer in granted.get("write", ())
    return granted if stands_in or access.may_see_permissions(uri) else {}


def cache_expires(operation: Operation, working_set: WorkingSet) -> int | None:
    """Return what the collection says of caching its records; asked for anonymous readers only (C-HDR-17).

    None also for a value that is no whole number: what is stored was not always checked.
    """
    parent = operation.route.parent
    if not operation.kind.must_have_parent or parent is None or operation.identity.user_id is not None:
        return None
    stored = working_set.living(parent.uri)
    seconds = stored.data().get("cache_expires") if stored else None
    return seconds if isinstance(seconds, int) and not isinstance(seconds, bool) else None
