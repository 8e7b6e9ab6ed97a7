"""The parts of an object that an answer shows: never its private fields, its permissions only to its writers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from app.decisions.permissions import Access
from app.decisions.working_set import WorkingSet
from app.kinds import Data, Kind
from app.operation import Operation, Permissions
from app.parsing import queries
from backends import Json
from backends.codec import dumps, embed
from backends.storage import Stored, id_of


def public_document(kind: Kind, stored: Stored) -> Data:
    """Return the object's document without its private fields."""
    return {name: value for name, value in stored.data().items() if name not in kind.private}


class _Mask(str):
    """The value that a patch reads instead of a private field."""

    __slots__ = ()


_MASK: Final = _Mask("***")


def mask(kind: Kind, document: Data) -> Data:
    """Return a document as a patch may read it: those private fields that the kind itself does not mask are `***`."""
    masked = kind.hooks.mask_secrets(document)
    left = {name: _MASK for name in kind.private if name in masked and masked[name] is document.get(name)}
    return {**masked, **left} if left else masked


def unmask(kind: Kind, patched: Data, masked: Data, document: Data) -> Data:
    """Return the document that a patch has made of *masked*, with the private fields of *document* that it left alone.

    A patch leaves also those fields alone that `mask_secrets` left out.
    """
    kept = {
        name: document[name]
        for name in kind.private
        if name in document and (isinstance(patched.get(name), _Mask) or name not in {**masked, **patched})
    }
    return {**patched, **kept} if kept else patched


def public_text(kind: Kind, stored: Stored) -> str:
    """Return the object's document without its private fields, as JSON text."""
    return dumps(public_document(kind, stored)) if kind.private else stored.text


def embedded_document(kind: Kind, stored: Stored) -> Json:
    """Return the object's document without its private fields, to embed it in a larger one without decoding it."""
    return embed(public_text(kind, stored))


def text_of(operation: Operation, stored: Stored) -> str:
    """Return the object's JSON text, as `texts_of` does."""
    return texts_of(operation, (stored,))[0]


def texts_of(operation: Operation, objects: Iterable[Stored]) -> tuple[str, ...]:
    """Return the JSON texts of objects, reduced to the fields of the query if it names any (C-LIST-56, C-LIST-57)."""
    kind, fields = operation.kind, operation.query and operation.query.fields
    if fields:
        return tuple([dumps(queries.project(public_document(kind, stored), fields)) for stored in objects])
    return tuple([public_text(kind, stored) for stored in objects])


def visible_permissions(operation: Operation, working_set: WorkingSet, access: Access, uri: str) -> Permissions:
    """Return the object's permissions if the identity may see them, else none.

    An identity sees them when it is in `write`, or when the settings let it write and the principal that would be
    entered for it as writer is in `write`.
    """
    permissions = working_set.permissions(uri)
    if access.may_see_permissions(uri):
        return permissions
    writer = operation.kind.hooks.writer(operation.identity, id_of(uri))
    represents_writer = access.settings_allow("write") and writer in permissions.get("write", ())
    return permissions if represents_writer else {}


def cache_expires(operation: Operation, working_set: WorkingSet) -> int | None:
    """Return the collection's `cache_expires` for its records, in seconds; only for anonymous readers (C-HDR-17).

    None also for a stored value that is no integer: the attribute was not always checked.
    """
    parent = operation.route.parent
    if not operation.kind.must_have_parent or parent is None or operation.identity.user_id is not None:
        return None
    stored = working_set.living(parent.uri)
    seconds = stored.data().get("cache_expires") if stored else None
    return seconds if isinstance(seconds, int) and not isinstance(seconds, bool) else None
