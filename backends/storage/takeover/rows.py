"""The place of each row of Kinto among our URIs, or the reason why it has none (operations.md 3.3), as SQL.

`with_rows` returns the WITH clause that every query about Kinto's objects begins with:

    rows(kind, deleted, bucket, list, uri, id, parent_id, data, stamp, problem)

`bucket` is the one under which the object is read. `problem` is NULL for a row that is carried over. A parent counts if
it lives and is carried over itself, so what is below a row that is left out is an orphan.
"""

from __future__ import annotations

from typing import Final

NEWEST: Final = 253370764800000
"""The greatest timestamp that is carried over as it is: the greatest one that a client may choose, the year 9999."""

MAX_KEY_BYTES: Final = 2_500
"""The greatest size of a row in an index, whose pages of 8 kB take up to 2,704 bytes with headers."""

KEY_BYTES: Final = """
    (octet_length({object}.list) + octet_length({object}.uri) + octet_length(entries.permission)
        + octet_length(entries.principal)
        + CASE WHEN {object}.list IN ('/buckets', '/accounts') THEN octet_length({object}.uri)
               ELSE octet_length({object}.bucket) END)
"""
"""The size of a grant in an index: of the copy in its own bucket, where the object is at the top."""

_NAMES_BYTES: Final = 60
"""The greatest size of the names of lists in such a row: that of bucket, list and URI."""

ORPHAN: Final = "orphans, whose bucket or collection is gone"
UNKNOWN_KIND: Final = "objects of other kinds, which this service does not have"
WRONG_PARENT: Final = "objects whose parent is no URI of a bucket or collection"
WRONG_ACCOUNT: Final = "accounts that are stored under the name of another user"
WRONG_ID: Final = "objects whose id is empty or has a slash, so that no URI leads to them"
WRONG_DOCUMENT: Final = "objects whose data is no JSON object"
TOO_LONG: Final = "objects whose URI is too long for an index"

KINDS: Final = """
    kinds (kind, plural, parents) AS (
        VALUES ('bucket', 'buckets', '^$'),
               ('account', 'accounts', '/'),
               ('collection', 'collections', '^/buckets/[^/]+$'),
               ('group', 'groups', '^/buckets/[^/]+$'),
               ('history', 'history', '^/buckets/[^/]+$'),
               ('record', 'records', '^/buckets/[^/]+/collections/[^/]+$'))
"""
"""The kinds of Kinto: the segment of their URIs, and the pattern of their `parent_id` (an account's is its id)."""

STAMP: Final = "(extract(epoch FROM {row}.last_modified) * 1000)::bigint"
"""The timestamp that clients saw, as Kinto's function `as_epoch` computes it: no time zone has an influence."""

LIST: Final = """
    CASE {row}.resource_name WHEN 'account' THEN '/accounts' ELSE {row}.parent_id || '/' || kinds.plural END
"""

_UNUSABLE: Final = f"""
    CASE WHEN {{row}}.id = '' OR strpos({{row}}.id, '/') > 0 THEN '{WRONG_ID}'
         WHEN NOT {{row}}.deleted AND jsonb_typeof({{row}}.data) <> 'object' THEN '{WRONG_DOCUMENT}'
         WHEN CASE {{row}}.resource_name WHEN 'account' THEN 0 ELSE 3 * octet_length({{row}}.parent_id) END
              + 2 * octet_length({{row}}.id) + {_NAMES_BYTES} > {MAX_KEY_BYTES} THEN '{TOO_LONG}'
    END
"""
"""The reason why a row cannot be an object, wherever it is."""

_ROWS: Final = f"""
WITH {KINDS},
living_buckets AS MATERIALIZED (
    SELECT '/buckets/' || objects.id AS uri
    FROM objects
    WHERE resource_name = 'bucket' AND parent_id = '' AND NOT deleted
        AND {_UNUSABLE.format(row="objects")} IS NULL),
living_collections AS MATERIALIZED (
    SELECT objects.parent_id || '/collections/' || objects.id AS uri
    FROM objects JOIN living_buckets ON objects.parent_id = living_buckets.uri
    WHERE resource_name = 'collection' AND NOT deleted
        AND {_UNUSABLE.format(row="objects")} IS NULL),
parents AS (
    SELECT uri FROM living_buckets UNION ALL SELECT uri FROM living_collections),
rows AS (
    SELECT
        objects.resource_name AS kind,
        objects.deleted,
        placed.list,
        placed.list || '/' || objects.id AS uri,
        CASE WHEN kinds.kind IN ('bucket', 'account') THEN placed.list
             ELSE '/buckets/' || split_part(objects.parent_id, '/', 3) END AS bucket,
        objects.id,
        objects.parent_id,
        objects.data,
        {STAMP.format(row="objects")} AS stamp,
        CASE WHEN kinds.kind IS NULL THEN '{UNKNOWN_KIND}'
             WHEN kinds.kind = 'account' AND objects.parent_id <> objects.id THEN '{WRONG_ACCOUNT}'
             WHEN kinds.kind <> 'account' AND objects.parent_id !~ kinds.parents THEN '{WRONG_PARENT}'
             WHEN {_UNUSABLE.format(row="objects")} IS NOT NULL THEN {_UNUSABLE.format(row="objects")}
             WHEN kinds.kind NOT IN ('bucket', 'account') AND parents.uri IS NULL THEN '{ORPHAN}'
        END AS problem
    FROM objects
    LEFT JOIN kinds ON kinds.kind = objects.resource_name
    LEFT JOIN parents ON parents.uri = objects.parent_id
    CROSS JOIN LATERAL (SELECT {LIST.format(row="objects")} AS list) AS placed
    WHERE {{condition}})
"""

CARRIED: Final = f"(problem IS NULL OR (:keep_orphans AND problem = '{ORPHAN}'))"
"""The condition of the rows that are carried over."""


def with_rows(condition: str = "true") -> str:
    """Return the WITH clause of Kinto's rows that a condition on `objects` selects."""
    return _ROWS.replace("{condition}", condition)
