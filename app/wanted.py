"""What operations need to have read before they can be decided, in the words of the storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from app import queries
from app.identity import Reader
from app.operation import Operation
from app.permissions import is_among
from app.service import Service
from backends.storage import LIVING, Filter, Page, Wanted, bucket_of, home


def objects(service: Service, operations: Sequence[Operation], writing: bool) -> list[Wanted]:
    """Return what to read for operations on objects, one for each bucket.

    Kinds with private fields in a bucket are read apart: a field that is private in one kind is none in another.
    """
    targets: dict[str, dict[tuple[str, ...], dict[str, None]]] = {}
    ancestors: dict[str, dict[str, None]] = {}
    clocks: dict[str, dict[str, None]] = {}
    groups: dict[str, dict[str, None]] = {}
    for operation in operations:
        target, list = operation.target, operation.route.list
        if target is not None:
            private = () if writing else operation.kind.private
            targets.setdefault(home(target), {}).setdefault(private, {})[target] = None
        for uri in operation.route.ancestors():
            ancestors.setdefault(bucket_of(uri), {})[uri] = None
        if operation.reads and service.listens_to_reads:
            clocks.setdefault(bucket_of(list), {})[list] = None
        if operation.method in ("PUT", "POST") and target is not None:
            # The lists that may start go on above what their clocks were in a former life.
            starting = [
                name for name in service.kinds.lists_in(operation.kind, target) if bucket_of(name) == home(target)
            ]
            clocks.setdefault(home(target), {}).update(dict.fromkeys(starting))
        if writing and target is not None and operation.kind.membership:
            groups.setdefault(home(target), {})[target] = None
    readers = tuple({name for operation in operations for name in operation.identity.principals})
    bodies = len(operations) > 1 or any(_needs_parents(service, operation) for operation in operations)
    # Whom the settings let write may be shown all grants in the name of somebody else.
    sparing = not writing and not any(service.rules.configured(each.kind.name, "write") for each in operations)
    found = []
    for bucket in {**targets, **ancestors, **clocks}:
        (private, some), *others = targets.get(bucket, {(): {}}).items()
        named = {uri for uris in targets.get(bucket, {}).values() for uri in uris}
        around = tuple(uri for uri in ancestors.get(bucket, ()) if uri not in named)
        lists = tuple(clocks.get(bucket, ()))
        joined = tuple(groups.get(bucket, ()))
        found.append(Wanted(bucket, tuple(some), around, lists, readers, private, bodies, sparing, groups=joined))
        found += [Wanted(bucket, tuple(uris), readers=readers, private=own, sparing=sparing) for own, uris in others]
    return found


def with_emptied(wanted: Iterable[Wanted], emptied: Iterable[str]) -> Iterator[Wanted]:
    """Yield what is wanted, and with it all clocks below the objects that are to be emptied."""
    inside: dict[str, list[str]] = {}
    for uri in emptied:
        inside.setdefault(bucket_of(uri), []).append(uri)
    for each in wanted:
        yield replace(each, emptied=tuple(inside.pop(each.bucket, ())))
    for bucket, uris in inside.items():
        yield Wanted(bucket, emptied=tuple(uris))


def _needs_parents(service: Service, operation: Operation) -> bool:
    """Say whether the documents around are looked into: for schemas, or for how long anonymous readers may cache."""
    return operation.identity.user_id is None if operation.reads else service.rules.schema_validation


def resume(operation: Operation, read: Reader) -> Operation:
    """Return an operation on a list whose page begins after known values; where its token names objects, read them."""
    query, list = operation.query, operation.route.uri
    if query is None or not query.anchors:
        return operation
    uris = tuple(f"{list}/{anchor.id}" for anchor in query.anchors)
    objects = read(Wanted(home(uris[0]), targets=uris)).objects
    return replace(operation, query=queries.resume(query, objects.values()))


def listed(service: Service, operation: Operation, read: Reader) -> Wanted:
    """Return what to read for an operation on a list: a page, or what a DELETE of the list may delete."""
    query, route, identity = operation.query, operation.route, operation.identity
    assert query is not None, "an operation on a list has a query"
    names = ("write",) if operation.writes_many else ("read", "write")
    configured = frozenset[str]().union(*(service.rules.configured(route.kind.name, name) for name in names))
    whole = is_among(identity, configured, read)
    own = route.kind.behaviour.own(identity)
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
        if (query.refusal and query.ahead is None) or operation.problems
        else (2**63 - 1 if counting else query.limit + 1),
        tombstones=query.tombstones and not counting and not operation.writes_many,
        counting=counting,
        whole=whole,
        above=names,
        own=("write",) if operation.writes_many else None,
        private=() if operation.writes_many else route.kind.private,
        unless=fresh if isinstance(fresh, int) and fresh < LIVING else None,
    )
    return Wanted(
        bucket_of(route.uri),
        ancestors=route.ancestors(),
        clocks=(route.uri,),
        readers=identity.principals,
        bodies=identity.user_id is None and operation.reads,
        page=page,
    )
