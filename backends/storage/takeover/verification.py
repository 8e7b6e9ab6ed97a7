"""Compare our tables with Kinto's before the takeover is committed, by queries that share nothing with the copying."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from backends.storage.migrations import SchemaError
from backends.storage.takeover.findings import (
    BEGUN_MEMBERSHIPS,
    DROPPED_GRANTS,
    ENDED_MEMBERSHIPS,
    LONG_GRANTS,
    LONG_MEMBERSHIPS,
    Findings,
)
from backends.storage.takeover.orphans import Adoption
from backends.storage.takeover.rows import NEWEST

_HEADER: Final = ("", "Kinto", "left out", "added", "here")
_EXAMPLES: Final = 10
_NO_ADOPTION: Final = Adoption()

_count_kinto = text("SELECT resource_name, deleted, count(*) FROM objects GROUP BY resource_name, deleted")

_count_documents = text("""
    SELECT CASE array_length(string_to_array(uri, '/'), 1)
               WHEN 3 THEN CASE WHEN list = '/accounts' THEN 'account' ELSE 'bucket' END
               WHEN 5 THEN CASE split_part(uri, '/', 4) WHEN 'groups' THEN 'group' WHEN 'history' THEN 'history'
                   ELSE 'collection' END
               ELSE 'record' END,
        deleted, count(*)
    FROM documents
    WHERE bucket <> uri
    GROUP BY 1, 2
""")

_count_others = text("""
    SELECT (SELECT count(*) FROM access_control_entries), (SELECT count(*) FROM grants WHERE bucket <> uri),
        (SELECT count(*) FROM user_principals), (SELECT count(*) FROM members)
""")

_LIST: Final = """
    CASE resource_name WHEN 'account' THEN '/accounts' WHEN 'history' THEN parent_id || '/history'
        ELSE parent_id || '/' || resource_name || 's' END
"""

_wrong_lists = text(f"""
    WITH kinto AS (
        SELECT {_LIST} AS list, count(*) AS total, count(*) FILTER (WHERE NOT deleted) AS living,
            sum(as_epoch(last_modified)) AS sum, min(as_epoch(last_modified)) AS oldest,
            max(as_epoch(last_modified)) AS newest
        FROM objects GROUP BY 1),
    visits AS (
        SELECT {_LIST} AS list, max(as_epoch(last_modified)) AS newest
        FROM timestamps
        WHERE CASE WHEN isfinite(last_modified) THEN as_epoch(last_modified) BETWEEN 0 AND {NEWEST} END
        GROUP BY 1),
    here AS (
        SELECT list, count(*) AS total, sum(last_modified) AS sum, max(last_modified) AS newest
        FROM documents WHERE bucket <> uri GROUP BY list)
    SELECT clocks.list, greatest(here.newest, kinto.newest, visits.newest), clocks.last_modified
    FROM clocks
    LEFT JOIN kinto ON kinto.list = clocks.list
    LEFT JOIN visits ON visits.list = clocks.list
    LEFT JOIN here ON here.list = clocks.list
    WHERE here.newest > clocks.last_modified
        OR coalesce(kinto.oldest, 0) >= 0 AND coalesce(kinto.newest, 0) <= {NEWEST} AND (
            clocks.last_modified <> greatest(here.newest, kinto.newest, visits.newest)
            OR kinto.total = here.total AND (NOT :adopted OR here.newest <= kinto.newest)
                AND (kinto.sum <> here.sum OR kinto.living <> clocks.count))
    ORDER BY clocks.list
    LIMIT {_EXAMPLES}
""")


@dataclass(frozen=True, slots=True)
class Balance:
    """One line of the table: what Kinto has, what is left out, what is added, what is here now."""

    name: str
    kinto: int
    omissions: int
    additions: int
    here: int

    @property
    def is_right(self) -> bool:
        """Return whether nothing is missing."""
        return self.kinto - self.omissions + self.additions == self.here

    def line(self) -> str:
        """Return the line, in columns."""
        numbers = "".join(f"{number:>12}" for number in (self.kinto, self.omissions, self.additions, self.here))
        return f"{self.name:<24}{numbers}{'' if self.is_right else '  MISMATCH'}"


def verify(
    connection: Connection, findings: Findings, adoptions: Mapping[str, Adoption], report: Callable[[str], None]
) -> None:
    """Report the numbers of both sides. Raises SchemaError if they differ: the transaction is rolled back."""
    balances = list_balances(connection, findings, adoptions)
    _report_table(balances, report)
    wrong = [balance.name for balance in balances if not balance.is_right]
    lists = connection.execute(_wrong_lists, {"adopted": bool(adoptions)})
    wrong += [f"{name} (newest {newest}, here {clock})" for name, newest, clock in lists]
    if wrong:
        raise SchemaError(f"The data taken over differ from Kinto's: {', '.join(wrong)}. Nothing was changed.")


def simulate(connection: Connection, findings: Findings, report: Callable[[str], None]) -> None:
    """Report the numbers that a takeover would have; parents for orphans are not counted."""
    kinto = {(kind, deleted): count for kind, deleted, count in connection.execute(_count_kinto)}
    _report_table(
        [
            Balance(_label(*key), count, findings.rows[key], 0, count - findings.rows[key])
            for key, count in sorted(kinto.items())
        ],
        report,
    )


def _label(kind: str, deleted: bool) -> str:  # noqa: FBT001  # the columns of a row
    return f"{kind} {'tombstones' if deleted else 'objects'}"


def _report_table(balances: list[Balance], report: Callable[[str], None]) -> None:
    report(f"{_HEADER[0]:<24}" + "".join(f"{title:>12}" for title in _HEADER[1:]))
    for balance in balances:
        report(balance.line())


def list_balances(connection: Connection, findings: Findings, adoptions: Mapping[str, Adoption]) -> list[Balance]:
    """Return the balances of objects and tombstones of each kind, of permissions and of memberships."""
    kinto = {(kind, deleted): count for kind, deleted, count in connection.execute(_count_kinto)}
    here = {(kind, deleted): count for kind, deleted, count in connection.execute(_count_documents)}
    balances = []
    for kind, deleted in sorted({*kinto, *here}):
        adoption = adoptions.get(kind, _NO_ADOPTION)
        key, more = (kind, deleted), -adoption.tombstones if deleted else adoption.parents
        balances.append(Balance(_label(kind, deleted), kinto.get(key, 0), findings.rows[key], more, here.get(key, 0)))
    entries, grants, principals, members = connection.execute(_count_others).one()
    grant_omissions = findings.count(DROPPED_GRANTS, LONG_GRANTS)
    membership_omissions = findings.count(ENDED_MEMBERSHIPS, LONG_MEMBERSHIPS)
    additions = findings.count(BEGUN_MEMBERSHIPS)
    balances.append(Balance("permissions", entries, grant_omissions, 0, grants))
    balances.append(Balance("memberships", principals, membership_omissions, additions, members))
    return balances
