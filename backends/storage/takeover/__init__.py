"""Take the data of Kinto 26.5 over into our tables, in the same PostgreSQL database (operations.md 3.10).

Theory of operation:

- One transaction reaches from the first CREATE TABLE to the mark that records the takeover (`mark`). After any error,
  or if the process or the server is killed, nothing has happened. Kinto's tables are only read: the way back is to
  start Kinto again.
- Kinto's tables are locked in SHARE mode first: a Kinto that still runs can read, and its writers wait. READ COMMITTED
  suffices then, since nothing that is read can change.
- `rows` is the one definition of the place of a row of Kinto among our URIs, and of the reason why a row has none.
  `copying` inserts what has a place, `findings` names what is left out or unusual, and `verification` compares both
  sides by queries of its own. If they differ, the transaction is rolled back.
- Data are copied by INSERT ... SELECT, so this process holds none of them. Documents are copied in ranges of pages of
  Kinto's table, so that progress can be reported. Indexes are created after the rows.

Timestamps that Kinto does not have are chosen so that a client that synchronised with Kinto continues with its old
`_since` and gets what Kinto would have sent, today and when polls follow permissions:

- `since` of grants and memberships is 0. A poll since T treats an object as gained if access to it began after T. What
  Kinto granted was granted at some time before the takeover; nobody knows when. With the timestamp of the takeover,
  every client would get everything once more; with 0 it gets what changed after T, as from Kinto. A grant or membership
  that ends later ends above every T that Kinto gave out, so all clients are told.
- `born` is the object's own timestamp: the earliest moment at which the object certainly existed. An end of access that
  happens after the takeover is above it, so a client is told of every object that it could see. A login that is
  remembered is bound to it like to that of any account.
- `floor` is 1, below every timestamp that a client can have: tombstones of Kinto are complete, so no client has to
  start over. Lists with timestamps that our tables do not accept are the exception: their objects get new timestamps,
  `floor` is the new clock and `former` is the old one, as after `kinto check --repair`.

Example: the row ('r', '/buckets/b/collections/c', 'record', 2024-01-01 00:00:00.123, {"a": 1}, false) of Kinto becomes

    ('/buckets/b', '/buckets/b/collections/c/records/r', '/buckets/b/collections/c/records', 1704067200123,
     1704067200123, false, {"a": 1, "id": "r", "last_modified": 1704067200123})
"""
