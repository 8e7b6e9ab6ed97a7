"""The example values in the theories of operation of app/transactions and app/decisions/working_set.py."""

from __future__ import annotations

from app.decisions.decide import decide
from app.decisions.rules import Rules
from app.decisions.working_set import WorkingSet
from app.identity import Identity
from app.kinds import Kinds, core_kinds
from app.operation import Body, Effect, Operation, Outcome
from app.parsing.ids import NameGenerator
from backends.storage import Change, Clock, Move, Principals, Snapshot, Stored

RECORDS = "/buckets/b/collections/c/records"
RECORD = f"{RECORDS}/r"
CLOCK = 1700000000000
NOW = 1700000000005
BOB = Identity("basicauth:bob")
RULES = Rules(lambda kind, permission: frozenset())


def _put(body: Body) -> Operation:
    kinds = Kinds()
    for kind in core_kinds(lambda name: NameGenerator()):
        kinds.add(kind)
    route = kinds.match(RECORD)
    assert route is not None
    return Operation("PUT", route, BOB, body=body)


def _snapshot(*objects: Stored, clock: Clock, grants: dict[str, dict[str, set[str]]]) -> Snapshot:
    ancestors = [Stored(uri, 1, False, 1, "{}") for uri in ("/buckets/b", "/buckets/b/collections/c")]
    return Snapshot({stored.uri: stored for stored in (*ancestors, *objects)}, grants, clocks={RECORDS: clock})


def _perform(working_set: WorkingSet, operation: Operation) -> Outcome:
    outcome = decide(operation, working_set, RULES)
    for effect in outcome.effects:
        working_set.apply(effect, ())
    return outcome


def test_two_operations_on_an_object_are_one_change_and_one_move() -> None:
    snapshot = _snapshot(clock=Clock(CLOCK, 0), grants={"/buckets/b": {"write": {"basicauth:bob"}}})
    working_set = WorkingSet(snapshot, NOW)
    operation = _put(Body({}, {"read": frozenset({"system.Everyone"})}))

    _perform(working_set, operation)
    _perform(working_set, operation)

    assert working_set.clock(RECORDS) == NOW + 1
    changes, moves, revoked = working_set.take_pending()
    text = '{"id":"r","last_modified":1700000000006}'
    granted = frozenset({("read", "system.Everyone"), ("write", "basicauth:bob")})
    assert changes == [Change(Stored(RECORD, NOW + 1, False, NOW, text), NOW + 1, frozenset(), granted)]
    assert moves == [Move(RECORDS, NOW + 1, count=1, starts=False)]
    assert revoked == Principals()
    assert working_set.take_pending() == ([], [], Principals())


def test_a_put_over_an_object_of_somebody_else_grants_the_writer() -> None:
    old = Stored(RECORD, CLOCK + 1, False, CLOCK + 1, '{"n":1,"id":"r","last_modified":1700000000001}')
    grants = {"/buckets/b": {"write": {"basicauth:bob"}}, RECORD: {"write": {"basicauth:alice"}}}
    working_set = WorkingSet(_snapshot(old, clock=Clock(CLOCK + 1, 1), grants=grants), NOW)
    operation = _put(Body({"n": 2}))

    outcome = _perform(working_set, operation)

    new = Stored(RECORD, NOW, False, NOW, '{"n":2,"id":"r","last_modified":1700000000005}')
    permissions = {"write": frozenset({"basicauth:alice", "basicauth:bob"})}
    effect = Effect(operation.kind, new, old, permissions, NOW)
    assert outcome == Outcome(200, NOW, data=new.text, permissions=permissions, effects=(effect,))
    [change], moves, _ = working_set.take_pending()
    assert change.stored.born == old.born
    assert (change.stamp, change.revoked, change.granted) == (NOW, frozenset(), frozenset({("write", "basicauth:bob")}))
    assert moves == [Move(RECORDS, NOW, count=0)]
