"""The selections of operations: the facts that must be read before they can be decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from app.decisions.permissions import is_among
from app.identity import Reader
from app.operation import Operation
from app.parsing import queries
from app.service import Service
from backends.storage import LIVING, Filter, Page, Selection, Snapshot, bucket_of

_COLUMNS = (("id",), ("last_modified",))
"""The fields that are known without the document of an object."""


def select_objects(service: Service, operations: Sequence[Operation], *, writing: bool) -> list[Selection]:
    """Return the selections of operations on objects, one for each bucket.

    Kinds with private fields have a selection of their own in a bucket: a field that is private in one kind is not
    private in another.
    """
    by_bucket: dict[str, list[Operation]] = {}
    for operation in operations:
        by_bucket.setdefault(operation.route.bucket, []).append(operation)
    readers = tuple({name for operation in operations for name in operation.identity.principals})
    ancestor_grants = writing and service.notifier.reads_ancestor_grants
    ancestor_documents = len(operations) > 1 or any(_needs_parents(service, operation) for operation in operations)
    # A writer by settings may see all grants in the name of another principal (see `visible_permissions`).
    limited_grants = not writing and not any(
        service.rules.principals_for(operation.kind.name, "write") for operation in operations
    )
    selections = []
    for bucket, in_bucket in by_bucket.items():
        targets = _targets(in_bucket, writing=writing)
        target_uris = {uri for uris in targets.values() for uri in uris}
        ancestors = dict.fromkeys(uri for each in in_bucket for uri in each.route.ancestors if uri not in target_uris)
        lists = dict.fromkeys(list_uri for each in in_bucket for list_uri in _clocks(service, each))
        groups = dict.fromkeys(each.target for each in in_bucket if writing and each.kind.membership and each.target)
        (private, uris), *further = targets.items() or [((), ())]
        first = Selection(
            bucket,
            tuple(uris),
            tuple(ancestors),
            tuple(lists),
            readers,
            private,
            ancestor_documents,
            ancestor_grants,
            limited_grants,
            groups=tuple(groups),
        )
        selections.append(first)
        selections += [
            Selection(bucket, tuple(uris), readers=readers, private=private, limited_grants=limited_grants)
            for private, uris in further
        ]
    return selections


def _targets(operations: Iterable[Operation], *, writing: bool) -> dict[tuple[str, ...], dict[str, None]]:
    """Return the URIs of the objects that operations name, by the fields that must not leave the storage."""
    targets: dict[tuple[str, ...], dict[str, None]] = {}
    for operation in operations:
        if operation.target is not None:
            private = () if writing else operation.kind.private
            targets.setdefault(private, {})[operation.target] = None
    return targets


def _clocks(service: Service, operation: Operation) -> Iterable[str]:
    """Return the lists in its bucket whose clocks an operation on an object needs.

    A list that starts with its parent starts above its former clock.
    """
    if operation.reads:
        return (operation.route.list,) if service.notifier.listens_to_reads else ()
    if operation.target is None or operation.route.parent is None or operation.method not in ("PUT", "POST"):
        return ()
    return service.kinds.lists_in(operation.kind, operation.target)


def add_cascade_roots(selections: Iterable[Selection], roots: Iterable[str]) -> Iterator[Selection]:
    """Yield the selections, and with them all clocks below *roots*, the objects that will be emptied."""
    by_bucket: dict[str, list[str]] = {}
    for uri in roots:
        by_bucket.setdefault(bucket_of(uri), []).append(uri)
    for selection in selections:
        uris = by_bucket.pop(selection.bucket, None)
        yield replace(selection, cascade_roots=tuple(uris)) if uris else selection
    for bucket, uris in by_bucket.items():
        yield Selection(bucket, cascade_roots=tuple(uris))


def _needs_parents(service: Service, operation: Operation) -> bool:
    """Return whether a decision needs the documents of ancestors: schemas, or `cache_expires` of anonymous reads."""
    return operation.identity.user_id is None if operation.reads else service.rules.schema_validation


def resume_page(operation: Operation, read: Reader) -> Operation:
    """Return an operation on a list with the sort values after which its page begins.

    If the token of the page refers to objects for these values, they are read.
    """
    query, list_uri = operation.query, operation.route.uri
    if query is None or not query.anchors:
        return operation
    uris = tuple(f"{list_uri}/{anchor.id}" for anchor in query.anchors)
    objects = read(Selection(operation.route.bucket, targets=uris)).objects
    return replace(operation, query=queries.resume(query, objects.values()))


def read_list(service: Service, operation: Operation, read: Reader) -> tuple[Operation, Snapshot]:
    """Read a page of a list, or the objects that a DELETE of the list may delete; return it with its operation.

    If the client synchronised before the clock of the list was set back, the list is read again from its beginning.
    """
    operation = resume_page(operation, read)
    selection, query = select_page(service, operation, read), operation.query
    snapshot = read(selection)
    if selection.page is not None and operation.route.may_have_indexes:
        service.indexing.notice(selection.page, snapshot)
    if query is not None and operation.reads:
        whole_query = query.from_beginning(snapshot.clocks.get(operation.route.uri))
        if whole_query is not query:
            operation = replace(operation, query=whole_query)
            snapshot = read(select_page(service, operation, read))
    return operation, snapshot


def select_page(service: Service, operation: Operation, read: Reader) -> Selection:
    """Return the selection of an operation on a list: a page, or the objects that a DELETE of the list may delete."""
    query, route, identity = operation.query, operation.route, operation.identity
    assert query is not None, "an operation on a list has a query"
    permissions = ("write",) if operation.writes_many else ("read", "write")
    principals_for = service.rules.principals_for
    principals = frozenset[str]().union(*(principals_for(route.kind.name, name) for name in permissions))
    allowed_by_settings = is_among(identity, principals, read)
    own_id = route.kind.hooks.own_object_id(identity)
    filters = query.filters
    if own_id is not None and not allowed_by_settings:
        filters = (*filters, Filter(("id",), "eq", own_id))
    count_only = operation.method == "HEAD"
    none_match = operation.conditions.none_match if operation.reads else None
    without_documents = operation.writes_many and not _deletes_by_documents(service, operation)
    page = Page(
        route.uri,
        filters=filters,
        order=query.order,
        after=None if count_only else query.after,
        limit=0
        if (query.refusal and query.future_timestamp is None) or operation.problems
        else (2**63 - 1 if count_only else query.limit + 1),
        tombstones=query.tombstones and not count_only and not operation.writes_many,
        count_only=count_only,
        unrestricted=allowed_by_settings,
        list_permissions=permissions,
        object_permissions=("write",) if operation.writes_many else None,
        private=() if operation.writes_many else route.kind.private,
        explain=query.explain and operation.method == "GET" and route.may_have_indexes,
        words=query.words[: queries.MAX_WORDS] if route.may_have_indexes else (),
        without_documents=without_documents,
        max_bytes=LIVING if without_documents else query.max_bytes,
        unless_timestamp=none_match if isinstance(none_match, int) and none_match < LIVING else None,
    )
    return Selection(
        route.bucket,
        ancestors=route.ancestors,
        clocks=(route.uri,),
        readers=identity.principals,
        ancestor_documents=identity.user_id is None and operation.reads,
        ancestor_grants=operation.writes_many and service.notifier.reads_ancestor_grants,
        page=page,
    )


def _deletes_by_documents(service: Service, operation: Operation) -> bool:
    """Return whether the deletion of a list needs the documents: for plugins, or for the token of the next page."""
    query = operation.query
    sorts_documents = query is not None and any(key.path not in _COLUMNS for key in query.order)
    return sorts_documents or service.uses_deleted_documents(operation.kind)
