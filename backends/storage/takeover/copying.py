"""Copy Kinto's objects, permissions and timestamps into our tables, set by set, in one transaction.

Keys and indexes are created after the rows: with 100,000 records that takes 15 % less processor time, and less disk
access with many more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, text

from backends.storage import LIVING
from backends.storage.takeover.orphans import Adoption, adopt
from backends.storage.takeover.rows import CARRIED, KEY_BYTES, KINDS, LIST, MAX_KEY_BYTES, NEWEST, STAMP, with_rows
from backends.storage.takeover_options import Takeover

_RANGES: Final = 40
"""The number of parts in which documents are copied: each looks all parents up again."""

_TARGET_TABLES: Final = "ARRAY['documents', 'grants', 'members', 'clocks']::regclass[]"

_count = text("SELECT count(*) FROM objects")
_pages = text("SELECT pg_relation_size('objects') / current_setting('block_size')::bigint")

_indexes = text(f"""
    SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
           format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint
    WHERE contype = 'p' AND conrelid = ANY ({_TARGET_TABLES})
    UNION ALL
    SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
    FROM pg_index
    WHERE NOT indisprimary AND indrelid = ANY ({_TARGET_TABLES})
    ORDER BY 1
""")

_DOCUMENT: Final = """
    CASE WHEN deleted THEN jsonb_build_object('id', id, 'last_modified', {stamp}, 'deleted', true)
         ELSE data || jsonb_build_object('id', id, 'last_modified', {stamp}) END
"""

_insert_documents = text(f"""
    INSERT INTO documents (bucket, uri, list, born, last_modified, deleted, data)
    {with_rows("objects.ctid >= CAST(:first AS tid) AND objects.ctid < CAST(:last AS tid)")}
    SELECT bucket, uri, list, stamp, stamp, deleted, {_DOCUMENT.format(stamp="stamp")}
    FROM rows
    WHERE {CARRIED} AND stamp BETWEEN 0 AND {NEWEST}
""")

_insert_out_of_range = text(f"""
    INSERT INTO documents (bucket, uri, list, born, last_modified, deleted, data)
    {with_rows(f"{STAMP.format(row='objects')} NOT BETWEEN 0 AND {NEWEST}")},
    newest AS (
        SELECT list, max(last_modified) AS stamp
        FROM documents WHERE list IN (SELECT list FROM rows) GROUP BY list),
    renewed AS (
        SELECT rows.*, greatest(:now, newest.stamp)
            + row_number() OVER (PARTITION BY rows.list ORDER BY rows.stamp, rows.uri) AS new_stamp
        FROM rows LEFT JOIN newest ON newest.list = rows.list
        WHERE {CARRIED})
    SELECT bucket, uri, list, new_stamp, new_stamp, deleted, {_DOCUMENT.format(stamp="new_stamp")}
    FROM renewed
""")

_insert_copies = text("""
    INSERT INTO documents (bucket, uri, list, born, last_modified, deleted, data)
    SELECT uri, uri, list, born, last_modified, deleted, data
    FROM documents
    WHERE bucket IN ('/buckets', '/accounts') AND NOT deleted
""")

_insert_grants = text(f"""
    INSERT INTO grants (bucket, uri, list, permission, principal, since, until)
    SELECT documents.bucket, documents.uri, documents.list, entries.permission, entries.principal, 0, {LIVING}
    FROM access_control_entries AS entries
    JOIN documents ON documents.uri = entries.object_id
    WHERE NOT documents.deleted
        AND {KEY_BYTES.format(object="documents")} <= {MAX_KEY_BYTES}
""")

_insert_grant_copies = text("""
    INSERT INTO grants (bucket, uri, list, permission, principal, since, until)
    SELECT uri, uri, list, permission, principal, since, until
    FROM grants
    WHERE bucket IN ('/buckets', '/accounts')
""")

_insert_members = text(f"""
    INSERT INTO members (user_id, principal, since, until)
    SELECT DISTINCT member.value #>> '{{}}', documents.uri, 0, {LIVING}
    FROM documents
    CROSS JOIN LATERAL jsonb_array_elements(
        CASE jsonb_typeof(data -> 'members') WHEN 'array' THEN data -> 'members' ELSE '[]' END) AS member (value)
    WHERE list = bucket || '/groups' AND NOT deleted AND jsonb_typeof(member.value) = 'string'
        AND octet_length(member.value #>> '{{}}') + octet_length(uri) <= {MAX_KEY_BYTES}
""")

# All accounts are one list here. It was visited by administrators (`parent_id` is `*`) and by each user.
_insert_clocks = text(f"""
    INSERT INTO clocks (bucket, list, last_modified, floor, count, former)
    WITH {KINDS},
    lists (bucket, list, fallback) AS (
        VALUES ('/buckets', '/buckets', CAST(:now AS bigint)), ('/accounts', '/accounts', CAST(:now AS bigint))
        UNION ALL
        SELECT uri, uri || '/' || plural, last_modified
        FROM documents CROSS JOIN kinds
        WHERE bucket = '/buckets' AND NOT deleted AND kinds.parents = '^/buckets/[^/]+$'
        UNION ALL
        SELECT bucket, uri || '/records', last_modified
        FROM documents
        WHERE list = bucket || '/collections' AND NOT deleted),
    stored AS (
        SELECT list, max(last_modified) AS newest, count(*) FILTER (WHERE NOT deleted) AS living
        FROM documents WHERE bucket <> uri GROUP BY list),
    moments AS (
        SELECT resource_name, parent_id, max(last_modified) AS last_modified
        FROM objects GROUP BY resource_name, parent_id
        UNION ALL
        SELECT resource_name, parent_id, last_modified FROM timestamps WHERE isfinite(last_modified)),
    stamps AS (
        SELECT {LIST.format(row="moments")} AS list, {STAMP.format(row="moments")} AS stamp
        FROM moments JOIN kinds ON kinds.kind = moments.resource_name),
    of_kinto AS (
        SELECT list, max(stamp) FILTER (WHERE stamp <= {NEWEST}) AS newest, max(stamp) AS former
        FROM stamps GROUP BY list),
    moved AS (
        SELECT lists.bucket, lists.list, coalesce(stored.living, 0) AS living, of_kinto.former,
            greatest(coalesce(greatest(stored.newest, of_kinto.newest), lists.fallback), 0) AS clock
        FROM lists LEFT JOIN stored ON stored.list = lists.list LEFT JOIN of_kinto ON of_kinto.list = lists.list)
    SELECT bucket, list, clock, CASE WHEN former > clock THEN clock ELSE least(1, clock) END, living,
        CASE WHEN former > clock THEN former END
    FROM moved
""")


def copy_all(connection: Connection, options: Takeover, now: int) -> Mapping[str, Adoption]:
    """Fill our tables, which are empty, from Kinto's, which are locked; return the new parents of orphans by kind."""
    parameters = {"keep_orphans": options.keep_orphans, "now": now}
    with _without_indexes(connection, options):
        with options.progress("Documents", count_objects(connection)) as advance:
            for values in _ranges(connection):
                advance(connection.execute(_insert_documents, parameters | values).rowcount)
            advance(connection.execute(_insert_out_of_range, parameters).rowcount)
        # Without statistics the planner would expect few rows in the joins that follow.
        connection.exec_driver_sql("ANALYZE documents (bucket, uri, list, deleted)")
        with options.progress("Permissions", 1) as advance:
            connection.execute(_insert_grants)
            connection.execute(_insert_members)
            advance(1)
        # New parents come after the grants: what Kinto kept of permissions on their predecessors must not come back.
        adoptions = adopt(connection, now) if options.keep_orphans else {}
        connection.execute(_insert_copies)
        connection.execute(_insert_grant_copies)
        connection.exec_driver_sql("DELETE FROM clocks")
        connection.execute(_insert_clocks, parameters)
    connection.exec_driver_sql("ANALYZE documents, grants, members, clocks")
    return adoptions


def count_objects(connection: Connection) -> int:
    """Return the number of Kinto's objects and tombstones."""
    return connection.scalar(_count) or 0


def _ranges(connection: Connection) -> Iterator[dict[str, str]]:
    """Yield the ranges of pages of Kinto's table; the last one has no end."""
    pages = connection.scalar(_pages) or 0
    size = max(pages // _RANGES, 1_000)
    for first in range(0, pages + 1, size):
        last = first + size
        yield {"first": f"({first},0)", "last": f"({last},0)" if last <= pages else "(4294967295,0)"}


@contextmanager
def _without_indexes(connection: Connection, options: Takeover) -> Iterator[None]:
    """Drop the keys and indexes of the tables that are filled, and create them again when the block ends."""
    statements: list[Any] = list(connection.execute(_indexes))
    for drop, _ in statements:
        connection.exec_driver_sql(drop)
    yield
    with options.progress("Indexes", len(statements)) as advance:
        for _, create in statements:
            connection.exec_driver_sql(create)
            advance(1)
