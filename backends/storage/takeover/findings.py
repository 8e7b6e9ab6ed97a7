"""Name everything in Kinto's tables that is not carried over, or that is carried over although it is unusual.

Each query returns rows (name of the finding, example). They are read through a cursor of the server, so this process
holds ten examples of each finding, however many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, TextIO

from sqlalchemy import Connection, TextClause, text

from backends.storage.takeover.rows import CARRIED, KEY_BYTES, MAX_KEY_BYTES, NEWEST, ORPHAN, STAMP, with_rows
from backends.storage.takeover_options import Takeover

_EXAMPLES: Final = 10

DROPPED_GRANTS: Final = "permissions on objects that are gone or not carried over"
LONG_GRANTS: Final = "permissions of principals that are too long for an index"
ENDED_MEMBERSHIPS: Final = "memberships that no group lists, which end"
BEGUN_MEMBERSHIPS: Final = "memberships that Kinto had not noted, which begin"
LONG_MEMBERSHIPS: Final = "memberships of principals that are too long for an index, which end"
_ODD_TIMESTAMPS: Final = "times of lists that do not exist"
_CACHE: Final = "rows of the cache"

_ID_PATTERN: Final = "^[a-zA-Z0-9][a-zA-Z0-9_-]*$"
_ACCOUNT_PATTERN: Final = "^[a-zA-Z0-9][+.@a-zA-Z0-9_-]*$"
_KNOWN_PERMISSIONS: Final = (
    "('bucket', ARRAY['read', 'write', 'collection:create', 'group:create']),"
    " ('collection', ARRAY['read', 'write', 'record:create']), ('group', ARRAY['read', 'write']),"
    " ('record', ARRAY['read', 'write']), ('account', ARRAY['read', 'write']), ('history', ARRAY['read'])"
)

_left_out: Final = text(f"""
    {with_rows()}
    SELECT problem,
        format('%s%s %s', kind, CASE WHEN deleted THEN ' (tombstone)' END, coalesce(uri, parent_id || ' ' || id)),
        kind, deleted
    FROM rows
    WHERE NOT {CARRIED}
""")

_SUSPICIOUS: Final = f"""
    (problem IS NOT NULL OR kind IN ('group', 'account') OR stamp NOT BETWEEN 0 AND least(:ahead, {NEWEST})
        OR id !~ '{_ID_PATTERN}' OR length(id) > 255
        OR CASE WHEN deleted THEN data <> '{{"deleted": true}}'
            ELSE data ?| ARRAY['id', 'last_modified', 'deleted'] END)
"""
"""A quick condition that holds for all rows with something unusual, and for few others."""

_unusual: Final = text(f"""
    {with_rows()}
    SELECT note.name, uri
    FROM rows
    CROSS JOIN LATERAL (VALUES
        ('orphans that get new parents', problem = '{ORPHAN}'),
        ('objects with an id that new objects cannot have', CASE kind WHEN 'account' THEN id !~ '{_ACCOUNT_PATTERN}'
            ELSE id !~ '{_ID_PATTERN}' END OR length(id) > 255 OR strpos(id, E'\\n') > 0),
        ('objects with a timestamp out of range, which get new ones', stamp NOT BETWEEN 0 AND {NEWEST}),
        ('objects with a timestamp more than a day ahead', stamp > :ahead AND stamp <= {NEWEST}),
        ('tombstones with other attributes, which they lose', deleted AND data <> '{{"deleted": true}}'),
        ('objects with an attribute id that is another id',
            NOT deleted AND data ? 'id' AND data -> 'id' <> to_jsonb(id)),
        ('objects with an attribute last_modified that is another timestamp',
            NOT deleted AND data ? 'last_modified' AND data -> 'last_modified' <> to_jsonb(stamp)),
        ('objects with an attribute deleted, which are no tombstones', NOT deleted AND data ? 'deleted'),
        ('groups whose members are no list of texts', kind = 'group' AND NOT deleted
            AND (jsonb_typeof(data -> 'members') IS DISTINCT FROM 'array'
                OR jsonb_path_exists(data, '$.members[*] ? (@.type() != "string")'))),
        ('accounts whose password is no bcrypt hash, so nobody can log in', kind = 'account' AND NOT deleted
            AND coalesce(data ->> 'password', '') !~ '^\\$2[aby]\\$[0-9]{{2}}\\$[./A-Za-z0-9]{{53}}$')
    ) AS note (name, holds)
    WHERE {CARRIED} AND {_SUSPICIOUS} AND note.holds
""")

_equal_timestamps: Final = text(f"""
    WITH old AS (
        SELECT DISTINCT resource_name, parent_id
        FROM objects WHERE last_modified <> date_trunc('milliseconds', last_modified)),
    counted AS (
        SELECT objects.*, count(*) OVER (
            PARTITION BY objects.resource_name, objects.parent_id, {STAMP.format(row="objects")}) AS equals
        FROM objects JOIN old ON old.parent_id = objects.parent_id AND old.resource_name = objects.resource_name)
    SELECT 'objects with the timestamp of another object of their list',
        format('%s %s %s', resource_name, parent_id, id)
    FROM counted
    WHERE equals > 1
""")
"""Only rows of Kinto before 13.6.6 have parts of a ms; without them, timestamps of a list are unique."""

_permissions: Final = text(f"""
    {with_rows()},
    known (kind, permissions) AS (VALUES {_KNOWN_PERMISSIONS}),
    living AS (SELECT kind, uri, bucket, list FROM rows WHERE {CARRIED} AND NOT deleted)
    SELECT note.name, format('%s %s %s', entries.object_id, entries.permission, entries.principal)
    FROM access_control_entries AS entries
    LEFT JOIN living ON living.uri = entries.object_id
    LEFT JOIN known ON known.kind = living.kind
    CROSS JOIN LATERAL (VALUES
        ('{DROPPED_GRANTS}', living.uri IS NULL),
        ('permissions of unknown names, which allow nothing', entries.permission <> ALL (known.permissions)),
        ('{LONG_GRANTS}', {KEY_BYTES.format(object="living")} > {MAX_KEY_BYTES})
    ) AS note (name, holds)
    WHERE note.holds
""")

_memberships: Final = text(f"""
    {with_rows("resource_name IN ('bucket', 'group')")},
    listed AS (
        SELECT DISTINCT member.value #>> '{{}}' AS user_id, uri
        FROM rows
        CROSS JOIN LATERAL jsonb_array_elements(
            CASE jsonb_typeof(data -> 'members') WHEN 'array' THEN data -> 'members' ELSE '[]' END) AS member (value)
        WHERE kind = 'group' AND NOT deleted AND {CARRIED} AND jsonb_typeof(member.value) = 'string')
    SELECT note.name,
        format('%s in %s', coalesce(listed.user_id, stored.user_id), coalesce(listed.uri, stored.principal))
    FROM listed
    FULL JOIN user_principals AS stored ON stored.user_id = listed.user_id AND stored.principal = listed.uri
    CROSS JOIN LATERAL (VALUES
        ('{ENDED_MEMBERSHIPS}', listed.uri IS NULL),
        ('{BEGUN_MEMBERSHIPS}', stored.principal IS NULL),
        ('{LONG_MEMBERSHIPS}',
            octet_length(listed.user_id) + octet_length(listed.uri) > {MAX_KEY_BYTES})
    ) AS note (name, holds)
    WHERE note.holds
""")

_times: Final = text(f"""
    {with_rows("resource_name IN ('bucket', 'collection')")},
    living AS (
        SELECT uri FROM rows WHERE {CARRIED} AND NOT deleted),
    placed AS (
        SELECT timestamps.*, kinds.kind, kinds.parents AS pattern,
            CASE WHEN isfinite(timestamps.last_modified) THEN {STAMP.format(row="timestamps")} END AS stamp
        FROM timestamps LEFT JOIN kinds ON kinds.kind = timestamps.resource_name)
    SELECT note.name, format('%s %s', placed.resource_name, placed.parent_id)
    FROM placed LEFT JOIN living ON living.uri = placed.parent_id
    CROSS JOIN LATERAL (VALUES
        ('{_ODD_TIMESTAMPS}', kind IS NULL
            OR kind <> 'account' AND (placed.parent_id !~ pattern OR kind <> 'bucket' AND living.uri IS NULL)),
        ('first visits of lists out of range, which do not count',
            stamp IS NULL OR stamp NOT BETWEEN 0 AND {NEWEST})
    ) AS note (name, holds)
    WHERE note.holds
""")

_cache: Final = text(f"SELECT '{_CACHE}', key FROM cache")

_OMITTED: Final = (DROPPED_GRANTS, LONG_GRANTS, ENDED_MEMBERSHIPS, LONG_MEMBERSHIPS, _ODD_TIMESTAMPS, _CACHE)


@dataclass(slots=True)
class Finding:
    """What was found under one name: how often, the first examples, and whether it is not carried over."""

    left_out: bool
    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Findings:
    """All findings by name; `rows` counts the rows of objects that are left out by kind and state."""

    by_name: dict[str, Finding] = field(default_factory=dict)
    rows: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def count(self, *names: str) -> int:
        """Return how many there are under some names."""
        return sum(self.by_name[name].count for name in names if name in self.by_name)

    def add(self, name: str, example: str, *, left_out: bool) -> None:
        """Count one more."""
        finding = self.by_name.setdefault(name, Finding(left_out))
        finding.count += 1
        if len(finding.examples) < _EXAMPLES:
            finding.examples.append(example)

    def report(self, report: Callable[[str], None]) -> None:
        """Report each name with its number and examples, what is left out first."""
        for name, finding in sorted(self.by_name.items(), key=lambda item: (not item[1].left_out, item[0])):
            examples = ", ".join(finding.examples) + ", ..." * (finding.count > len(finding.examples))
            report(f"{'Left out' if finding.left_out else 'Carried over'}: {finding.count} {name}: {examples}")


def find_all(connection: Connection, options: Takeover, now: int) -> Findings:
    """Read all findings, and write them to the file of the options."""
    findings = Findings()
    parameters = {"keep_orphans": options.keep_orphans, "ahead": now + 24 * 3600 * 1000}
    queries = (_unusual, _equal_timestamps, _permissions, _memberships, _times, *_cache_queries(connection))
    with ExitStack() as stack:
        file = stack.enter_context(options.findings_file.open("w")) if options.findings_file else None
        advance = stack.enter_context(options.progress("Findings", 1 + len(queries)))
        for name, example, kind, deleted in _stream(connection, _left_out, parameters):
            findings.rows[kind, deleted] += 1
            _note(findings, file, name, example, left_out=True)
        for query in queries:
            advance(1)
            for name, example in _stream(connection, query, parameters):
                _note(findings, file, name, example, left_out=name in _OMITTED)
        advance(1)
    return findings


def _note(findings: Findings, file: TextIO | None, name: str, example: str, *, left_out: bool) -> None:
    example = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in example)
    findings.add(name, example, left_out=left_out)
    if file is not None:
        file.write(f"{name}\t{example}\n")


def _cache_queries(connection: Connection) -> list[TextClause]:
    """Return the query of the cache where there is one: Kinto may keep it elsewhere."""
    return [_cache] if connection.scalar(text("SELECT to_regclass('cache') IS NOT NULL")) else []


def _stream(connection: Connection, query: TextClause, parameters: Mapping[str, object]) -> Iterator[Any]:
    """Yield the rows of a query, of which only a few are in memory."""
    with connection.execute(query, parameters, execution_options={"stream_results": True}) as result:
        yield from result
