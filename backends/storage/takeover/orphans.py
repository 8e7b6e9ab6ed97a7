"""Give orphans of Kinto new parents (`--keep-orphans`): living objects without attributes and without permissions.

Nobody gets access by that: a new parent can be read and deleted by those whom settings let read and write all objects.
A tombstone of the former parent is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

_COLLECTIONS: Final = """
    SELECT DISTINCT bucket, bucket || '/collections' AS list, substr(list, 1, length(list) - length('/records')) AS uri
    FROM documents
    WHERE list LIKE '/buckets/%/collections/%/records'
"""
_BUCKETS: Final = """
    SELECT DISTINCT '/buckets' AS bucket, '/buckets' AS list, bucket AS uri
    FROM documents
    WHERE bucket NOT IN ('/buckets', '/accounts')
"""

_MISSING: Final = """
    WITH parents AS ({parents}),
    missing AS (
        SELECT parents.*
        FROM parents LEFT JOIN documents ON documents.uri = parents.uri AND NOT documents.deleted
        WHERE documents.uri IS NULL)
"""
_DELETE: Final = "DELETE FROM documents USING missing WHERE documents.uri = missing.uri"
_INSERT: Final = """,
    newest AS (
        SELECT list, max(last_modified) AS stamp
        FROM documents WHERE list IN (SELECT list FROM missing) GROUP BY list),
    born AS (
        SELECT missing.*, greatest(:now, newest.stamp)
            + row_number() OVER (PARTITION BY missing.list ORDER BY missing.uri) AS stamp
        FROM missing LEFT JOIN newest ON newest.list = missing.list)
    INSERT INTO documents (bucket, uri, list, born, last_modified, deleted, data)
    SELECT bucket, uri, list, stamp, stamp, false,
        jsonb_build_object('id', substr(uri, length(list) + 2), 'last_modified', stamp)
    FROM born
"""


@dataclass(frozen=True, slots=True)
class Adoption:
    """The number of new parents of one kind, and of the tombstones that they replace."""

    parents: int = 0
    tombstones: int = 0


def adopt(connection: Connection, now: int) -> Mapping[str, Adoption]:
    """Create the missing parents of all documents; return their numbers by kind.

    Collections come first, since they may lack their bucket too.
    """
    return {kind: _adopt(connection, now, parents) for kind, parents in _PARENTS.items()}


_PARENTS: Final = {"collection": _COLLECTIONS, "bucket": _BUCKETS}


def _adopt(connection: Connection, now: int, parents: str) -> Adoption:
    missing = _MISSING.replace("{parents}", parents)
    tombstones = connection.execute(text(missing + _DELETE)).rowcount
    return Adoption(connection.execute(text(missing + _INSERT), {"now": now}).rowcount, tombstones)
