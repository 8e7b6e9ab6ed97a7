"""What operations need to have read before they can be decided, in the words of the storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from app.decisions.permissions import is_among
from app.identity import Reader
from app.operation import Operation
from app.parsing import queries
from app.service import Service
from backends.storage import LIVING, Filter, Page, Selection, Snapshot, bucket_of


def select_objects(service: Service, operations: Sequence[Operation], writing: bool) -> list[Selection]:
    """Return what to read for operations on objects, one for each bucket.

    Kinds with private fields in a bucket are read apart: a field that is private in one kind is none in another.
    """
    by_bucket: dict[str, list[Operation]] = {}
    for operation in operations:
        by_bucket.setdefault(operation.route.bucket, []).append(operation)
    readers = tuple({name for operation in operations for name in operation.identity.principals})
    bodies = len(operations) > 1 or any(_needs_parents(service, operation) for operation in operations)
    # Whom the settings let write may be shown all grants in the name of somebody else.
    sparing = not writing and not any(service.rules.configured(each.kind.name, "write") for each in operations)
    found = []
    for bucket, those in by_bucket.items():
        targets = _targets(those, writing)
        named = {uri for uris in targets.values() for uri in uris}
        around = dict.fromkeys(uri for operation in those for uri in operation.route.ancestors if uri not in named)
        lists = dict.fromkeys(name for operation in those for name in _clocks(service, operation))
        groups = dict.fromkeys(each.target for each in those if writing and each.kind.membership and each.target)
        (private, some), *others = targets.items() or [((), ())]
        wanted = Selection(
            bucket, tuple(some), tuple(around), tuple(lists), readers, private, bodies, sparing, groups=tuple(groups)
        )
        found.append(wanted)
        found += [
            Selection(bucket, tuple(uris), readers=readers, private=own, limited_grants=sparing) for own, uris in others
        ]
    return found


def _targets(operations: Iterable[Operation], writing: bool) -> dict[tuple[str, ...], dict[str, None]]:
    """Return the URIs of the objects that operations name, by the fields that must not leave the storage."""
    targets: dict[tuple[str, ...], dict[str, None]] = {}
    for operation in operations:
        if operation.target is not None:
            private = () if writing else operation.kind.private
            targets.setdefault(private, {})[operation.target] = None
    return targets


def _clocks(service: Service, operation: Operation) -> Iterable[str]:
    """Return the lists whose clocks an operation on an object needs, of those in its bucket.

    A list that starts with its parent goes on above what its clock was before.
    """
    if operation.reads:
        return (operation.route.list,) if service.listens_to_reads else ()
    if operation.target is None or operation.route.parent is None or operation.method not in ("PUT", "POST"):
        return ()
    return service.kinds.lists_in(operation.kind, operation.target)


def add_cascade_roots(wanted: Iterable[Selection], emptied: Iterable[str]) -> Iterator[Selection]:
    """Yield what is wanted, and with it all clocks below the objects that are to be emptied."""
    inside: dict[str, list[str]] = {}
    for uri in emptied:
        inside.setdefault(bucket_of(uri), []).append(uri)
    for each in wanted:
        yield replace(each, cascade_roots=tuple(inside.pop(each.bucket, ())))
    for bucket, uris in inside.items():
        yield Selection(bucket, cascade_roots=tuple(uris))


def _needs_parents(service: Service, operation: Operation) -> bool:
    """Say whether the documents around are looked into: for schemas, or for how long anonymous readers may cache."""
    return operation.identity.user_id is None if operation.reads else service.rules.schema_validation


def resume_page(operation: Operation, read: Reader) -> Operation:
    """Return an operation on a list whose page begins after known values; where its token names objects, read them."""
    query, list = operation.query, operation.route.uri
    if query is None or not query.anchors:
        return operation
    uris = tuple(f"{list}/{anchor.id}" for anchor in query.anchors)
    objects = read(Selection(operation.route.bucket, targets=uris)).objects
    return replace(operation, query=queries.resume(query, objects.values()))


def read_list(service: Service, operation: Operation, read: Reader) -> tuple[Operation, Snapshot]:
    """Read a page of a list, or what a DELETE of the list may delete; return it with what was asked.

    For a client that synchronised before the clock of the list was set back it is read again, from the beginning.
    """
    operation = resume_page(operation, read)
    seen, query = read(select_page(service, operation, read)), operation.query
    if query is not None and operation.reads:
        begun = query.from_beginning(seen.clocks.get(operation.route.uri))
        if begun is not query:
            operation = replace(operation, query=begun)
            seen = read(select_page(service, operation, read))
    return operation, seen


def select_page(service: Service, operation: Operation, read: Reader) -> Selection:
    """Return what to read for an operation on a list: a page, or what a DELETE of the list may delete."""
    query, route, identity = operation.query, operation.route, operation.identity
    assert query is not None, "an operation on a list has a query"
    names = ("write",) if operation.writes_many else ("read", "write")
    configured = frozenset[str]().union(*(service.rules.configured(route.kind.name, name) for name in names))
    whole = is_among(identity, configured, read)
    own = route.kind.hooks.own_object_id(identity)
    filters = query.filters
    if own is not None and not whole:
        filters = (*filters, Filter(("id",), "eq", own))
    counting = operation.method == "HEAD"
    fresh = operation.conditions.none_match if operation.reads else None
    page = Page(
        route.uri,
        filters=filters,
        order=query.order,
        after=None if counting else query.after,
        limit=0
        if (query.refusal and query.future_timestamp is None) or operation.problems
        else (2**63 - 1 if counting else query.limit + 1),
        tombstones=query.tombstones and not counting and not operation.writes_many,
        count_only=counting,
        unrestricted=whole,
        list_permissions=names,
        object_permissions=("write",) if operation.writes_many else None,
        private=() if operation.writes_many else route.kind.private,
        unless_timestamp=fresh if isinstance(fresh, int) and fresh < LIVING else None,
    )
    return Selection(
        route.bucket,
        ancestors=route.ancestors,
        clocks=(route.uri,),
        readers=identity.principals,
        ancestor_documents=identity.user_id is None and operation.reads,
        page=page,
    )
