"""The decisions on lists: read a page, delete matching objects (core contract, 4.12, 6 and 7.5). Pure."""

from __future__ import annotations

from app.decisions.checks import access_of, admit, expect_negotiated, expect_parent, expect_valid, own_object_id
from app.decisions.explaining import describe
from app.decisions.permissions import Access
from app.decisions.rules import Rules
from app.decisions.saving import deletion_effect
from app.decisions.showing import cache_expires, texts_of
from app.decisions.working_set import WorkingSet, next_timestamp
from app.errors import Invalid, Modified, UnknownParent
from app.kinds import Data
from app.operation import Operation, Outcome
from app.parsing import queries
from backends.storage import Stored
from backends.storage.indexes import TEXT


def get(operation: Operation, working_set: WorkingSet, rules: Rules) -> Outcome:
    """Read a page of a list, or with HEAD its total (core contract, 6 and 7.5)."""
    expect_negotiated(operation)
    access = access_of(operation, working_set, rules)
    _admit_to_list(operation, working_set, access, rules, whole_list=access.may_read_all())
    expect_parent(operation.route, working_set)
    expect_valid(operation)
    timestamp = working_set.clock(operation.route.uri)
    if operation.conditions.is_fresh(timestamp):
        return Outcome(200, timestamp, fresh=True)
    _expect_list_unmodified(operation, timestamp)
    query = _expect_query(operation, working_set)
    expires = cache_expires(operation, working_set)
    if operation.method == "HEAD":
        return Outcome(200, timestamp, total=_total(operation, working_set), cache_expires=expires)
    rows = _rows(query, working_set)
    return Outcome(
        200,
        timestamp,
        rows=texts_of(operation, rows),
        next=_next_token(query, rows, working_set),
        cache_expires=expires,
        explanation=_explanation(working_set, access),
        read=tuple(rows),
    )


def _total(operation: Operation, working_set: WorkingSet) -> int | None:
    """Return the number of objects: none in a deleted object, whose clocks, which outlive it, still have its counts."""
    parent = operation.route.parent
    return 0 if parent and working_set.living(parent.uri) is None else working_set.snapshot.total


def _explanation(working_set: WorkingSet, access: Access) -> Data | None:
    """Return how the page was read if an explanation was asked for by an identity that may write the whole list."""
    explanation = working_set.snapshot.explanation
    if explanation is None or not access.may_write_all():
        return None
    return describe(explanation)


def delete(operation: Operation, working_set: WorkingSet, rules: Rules) -> Outcome:
    """Delete the objects of a list that match and that the identity may write (core contract, 4.12)."""
    expect_negotiated(operation)
    access = access_of(operation, working_set, rules)
    _admit_to_list(operation, working_set, access, rules, whole_list=access.may_write_all())
    expect_parent(operation.route, working_set)
    expect_valid(operation)
    clock = working_set.clock(operation.route.uri)
    _expect_list_unmodified(operation, clock)
    query = _expect_query(operation, working_set)
    rows = _rows(query, working_set)
    effects = []
    for stored in rows:
        clock = next_timestamp(clock, working_set.now)
        effects.append(deletion_effect(operation.kind, stored, clock, clock))
    return Outcome(
        200,
        clock,
        rows=tuple(effect.new.text for effect in effects),
        next=_next_token(query, rows, working_set, operation.nonce),
        effects=tuple(effects),
    )


def _admit_to_list(
    operation: Operation, working_set: WorkingSet, access: Access, rules: Rules, *, whole_list: bool
) -> None:
    """Admit to the whole list, to its shared objects, or to an empty list (C-PERM-12 to C-PERM-15).

    Raises UnknownParent for a list inside the bucket `*` to identities that may create buckets, since `*` is no
    bucket; rejects all others, as Kinto 26.5 does.
    """
    if operation.route.is_in_wildcard():
        outermost = operation.route.kinds[0].name
        if not access.principals.isdisjoint(rules.principals_for(outermost, "create")):
            raise UnknownParent(outermost, operation.route.ids[0])
    limited = own_object_id(operation) is not None
    admit(operation, allowed=whole_list or working_set.snapshot.has_shared or access.may_create() or limited)


def _expect_list_unmodified(operation: Operation, timestamp: int) -> None:
    if operation.conditions.fail_for(timestamp):
        raise Modified(timestamp)


def _expect_query(operation: Operation, working_set: WorkingSet) -> queries.Query:
    query = operation.query
    assert query is not None, "an operation on a list has a query"
    refusal = query.refusal_for(working_set.latest(operation.route.uri))
    if refusal:
        raise Invalid(refusal)
    if len(query.words) > queries.MAX_WORDS and any(
        index.definition.kind == TEXT for index in working_set.snapshot.indexes
    ):
        raise Invalid(queries.too_many_words())
    return query


def _rows(query: queries.Query, working_set: WorkingSet) -> list[Stored]:
    """Return the objects of a page, without the one after it, which shows that there are more."""
    page = working_set.snapshot.page
    return page[: min(query.limit, len(page) - 1) if working_set.snapshot.is_cut else query.limit]


def _next_token(
    query: queries.Query, rows: list[Stored], working_set: WorkingSet, nonce: str | None = None
) -> str | None:
    following = working_set.snapshot.page[len(rows) :]
    return queries.token(query, rows, following[0], nonce) if following else None
