"""Run operations in transactions: lock, read, decide, move, write. The only package of the rules that writes objects.

Theory of operation. `perform.py` is the entry. A batch that only reads needs no transaction (`read_batch.py`): each
SELECT is consistent by itself. Any other batch is one transaction (`write_batch.py`), in these steps:

1. **Lock** the clocks of all lists that the operations may write, and the clocks below all objects that they may delete
   (the cascade roots). The clock row of a list is its lock; nothing else is locked, but SQLite has one writing
   transaction at a time. `backends/storage/writes.py` defines the order in which all transactions lock.
2. **Read** everything that the operations name, one SELECT for each bucket; the first verifies the identities too. The
   SELECT begins after the locks are granted, so it sees every commit of the transactions that held them before.
3. **Decide** the operations in order, on the working set (`app/decisions/working_set.py`), which applies the effects of
   each. An ApiError is the answer of its operation alone. No statement is sent for an operation, with four exceptions,
   before which the pending changes are written (`flush`): the page of a list is read, the lists below a deleted object
   are emptied, credentials are checked again because the batch has changed users, a view runs.
4. **Notify** listeners before the commit. Their effects join the pending changes.
5. **Move** the clocks to the timestamps given out, then **write** documents and grants, memberships last. The move also
   locks and moves the clocks of derived lists, and gives their new objects timestamps (`WriteTransaction.append`).
   Rules of plugins on the whole transaction follow; they may write to tables of their own.
6. Exchange the nonces of page tokens in the cache. Send what waits, and notify the listeners that are called once, if
   there are any. Then **commit**; roll back if nothing was written.
7. Notify listeners after the commit.

A try is repeated from step 1 (`write_transaction.py:run_with_retries`) when the database reports a deadlock, a
serialization failure or a connection that died before the COMMIT (`Conflict`), or when a nonce expired (`Retry`): three
tries in all. It is also repeated when a list must be written that is not locked (`Unlocked`; the next try locks it),
when a JSON Schema must be compiled (`NotCompiled`), when a slow result is missing (`ResultsMissing`), and when the user
of a remembered login has changed (`Outdated`). It is not repeated after an error of a listener, of a view or of a
backend (also a lock that was not granted in time), nor when the connection died during the COMMIT (`Uncertain`): the
write might be applied twice.

What would break if two steps changed places:

- Read before lock: another transaction could commit in between. `If-Match` would be compared with an outdated
  timestamp, and two writes would get the same timestamp from the same clock.
- Write before move, and other orders of the statements that write: `backends/storage/writes.py` has the reasons.
- Memberships before the last operation: users would change their groups within a request (core contract, 7.7).
- Nonces after the commit: if the cache failed, the request would be answered by an error although it was done.
- Listeners before the commit, after the last write: their effects would need another write.
- Listeners that are called once, before the last statement is sent: another try would call them again.
- Listeners after the commit, before it: they would be told of changes that may be rolled back.

Example values, for a PUT of `{"n": 2}` over a record of Alice by Bob, who may write its bucket ("..." shortens):

    Operation("PUT", Route(kind=<record>, uri="/buckets/b/collections/c/records/r", ...), Identity("basicauth:bob"),
              body=Body({"n": 2}))
    Selection("/buckets/b", targets=("/buckets/b/collections/c/records/r",),
              ancestors=("/buckets/b", "/buckets/b/collections/c"),
              readers=("basicauth:bob", "system.Everyone", "system.Authenticated"), ancestor_documents=False)
    Snapshot(objects={".../r": Stored(".../r", 1700000000001, deleted=False, born=1700000000001, text='{"n":1,...}')},
             grants={"/buckets/b": {"write": {"basicauth:bob"}}, ".../r": {"write": {"basicauth:alice"}}},
             clocks={".../records": Clock(1700000000001, count=1)})
    Effect(<record>, new=Stored(".../r", 1700000000005, deleted=False, born=1700000000005, text='{"n":2,...}'),
           old=<the object of the snapshot>, permissions={"write": {"basicauth:alice", "basicauth:bob"}},
           clock=1700000000005)
    Change(Stored(".../r", 1700000000005, deleted=False, born=1700000000001, text='{"n":2,...}'), stamp=1700000000005,
           revoked=frozenset(), granted=frozenset({("write", "basicauth:bob")}))
    Move(".../records", 1700000000005, count=0)
    Outcome(200, 1700000000005, data='{"n":2,...}', permissions={"write": {...}}, effects=(<the effect>,))
"""
