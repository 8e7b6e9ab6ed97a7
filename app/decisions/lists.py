"""The decisions on lists: reading a page, deleting what matches (core contract, 4.12, 6 and 7.5). Pure."""

from __future__ import annotations

from app.decisions.checks import access_of, admit, expect_negotiated, expect_parent, expect_valid, own_id
from app.decisions.permissions import Access
from app.decisions.rules import Rules
from app.decisions.saving import deletion
from app.decisions.showing import cache_expires, text_of
from app.decisions.working_set import WorkingSet, next_timestamp
from app.errors import Invalid, Modified, UnknownParent
from app.operation import Operation, Outcome
from app.parsing import queries
from backends.storage import Stored


def get(operation: Operation, seen: WorkingSet, rules: Rules) -> Outcome:
    """Read a page of a list, or with HEAD its total (core contract, 6 and 7.5)."""
    expect_negotiated(operation)
    able = access_of(operation, seen, rules)
    _admit_to_list(operation, seen, able, rules, able.may_read_all())
    expect_parent(operation.route, seen)
    expect_valid(operation)
    timestamp = seen.clock(operation.route.uri)
    if operation.conditions.fresh(timestamp):
        return Outcome(200, timestamp, fresh=True)
    _expect_list_unmodified(operation, timestamp)
    query = _expect_query(operation, seen)
    expires = cache_expires(operation, seen)
    if operation.method == "HEAD":
        return Outcome(200, timestamp, total=seen.snapshot.total, cache_expires=expires)
    rows = seen.snapshot.page[: query.limit]
    return Outcome(
        200,
        timestamp,
        rows=tuple(text_of(operation, stored) for stored in rows),
        next=_next(query, rows, seen),
        cache_expires=expires,
        read=tuple(rows),
    )


def delete(operation: Operation, seen: WorkingSet, rules: Rules) -> Outcome:
    """Delete the objects of a list that match and that the identity may write (core contract, 4.12)."""
    expect_negotiated(operation)
    able = access_of(operation, seen, rules)
    _admit_to_list(operation, seen, able, rules, able.may_write_all())
    expect_parent(operation.route, seen)
    expect_valid(operation)
    clock = seen.clock(operation.route.uri)
    _expect_list_unmodified(operation, clock)
    query = _expect_query(operation, seen)
    rows = seen.snapshot.page[: query.limit]
    effects = []
    for stored in rows:
        clock = next_timestamp(clock, seen.now)
        effects.append(deletion(operation.kind, stored, clock, clock))
    return Outcome(
        200,
        clock,
        rows=tuple(effect.new.text for effect in effects),
        next=_next(query, rows, seen, operation.nonce),
        effects=tuple(effects),
    )


def _admit_to_list(operation: Operation, seen: WorkingSet, able: Access, rules: Rules, everything: bool) -> None:
    """Admit to the whole list, to what is shared of it, or to an empty one (C-PERM-12 to C-PERM-15).

    Whoever may create buckets gets to know that `*` is none; everybody else is refused, as Kinto 26.5 does.
    """
    if operation.route.in_wildcard():
        outermost = operation.route.kinds[0].name
        if not able.principals.isdisjoint(rules.configured(outermost, "create")):
            raise UnknownParent(outermost, operation.route.ids[0])
    bounded = own_id(operation) is not None
    admit(operation, everything or seen.snapshot.shares or able.may_create() or bounded)


def _expect_list_unmodified(operation: Operation, timestamp: int) -> None:
    if operation.conditions.broken_by(timestamp):
        raise Modified(timestamp)


def _expect_query(operation: Operation, seen: WorkingSet) -> queries.Query:
    query = operation.query
    assert query is not None, "an operation on a list has a query"
    refusal = query.refused(seen.latest(operation.route.uri))
    if refusal:
        raise Invalid(refusal)
    return query


def _next(query: queries.Query, rows: list[Stored], seen: WorkingSet, nonce: str | None = None) -> str | None:
    page = seen.snapshot.page
    return queries.token(query, rows, page[query.limit], nonce) if len(page) > query.limit else None
