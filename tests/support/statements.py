"""The rules that let a cluster keep a bucket in one place, checked for every statement that the service sends.

`SUITE` listens to all engines of a process of the tests and looks at each distinct statement for PostgreSQL once;
`tests/conftest.py` fails the test in which one breaks a rule. What may break a rule is named by the method that sends
it, in `EXCEPTIONS`; `tests/test_distributed.py` shows that each of them is needed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import FrameType
from typing import Any, Final

from sqlalchemy import Engine, event

BY_BUCKET: Final = ("documents", "indexes", "grants", "clocks")

EXCEPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "SqlStorage.read_accessible": ("bucket",),  # GET /permissions: what somebody holds anywhere
    "SqlStorage.purge": ("bucket", "intervals"),
    "SqlStorage.flush": ("bucket", "intervals"),
    "SqlStorage.build_indexes": ("bucket",),  # it looks for lists with unfinished indexes
    "SqlStorage.change_automatic_indexes": ("bucket",),  # it looks for the lists with unused ones
    "Writer.holdings_of": ("bucket",),  # what deleted users and groups hold is in all buckets
    "Writer.user_holdings": ("bucket",),  # what a user to forget holds is in all buckets
    "Intervals.begin": ("intervals",),
    "Intervals.end": ("rows", "intervals"),  # its rows come from the same table, by their buckets
    "Writer.delete_below": ("intervals",),  # a cascade
    "Writer.delete_copies": ("intervals",),
    "Writer.trim": ("intervals",),  # of objects that leave no tombstone
    "SqlStorage.check": ("bucket", "intervals", "rows"),
    "TableRows.read": ("bucket",),  # copy and dump
    "TableRows.count": ("bucket",),
    "TableRows.has_any": ("bucket",),
    "TableRows.delete": ("intervals",),
    "SqlStorage.count": ("bucket",),  # GET /__counters__
    # Web servers share the lives of keys, so they go by the database's time.
    "PostgreSQLCache._run": ("time and chance",),
    "PostgreSQLCache._purge": ("time and chance",),
}
"""Which method may break which rules."""

_BRACKET: Final = re.compile(r"[()]")
_BOUND: Final = r"(?:%[s(]|:|\?|\$)"
_OF_BYTES: Final = 'COLLATE "POSIX"'
"""The collation of a bucket in a statement for which only the index of terms may be used: it compares bytes as "C"."""
_SUBQUERY: Final = re.compile(r"\s*(SELECT|WITH|PARTITION BY|ORDER BY)\b")
_TABLE: Final = re.compile(rf"(?:\b(?:FROM|JOIN|UPDATE|INTO)|,)\s+({'|'.join(BY_BUCKET)})\b(?!\.)(?:\s+AS\s+(\w+))?")
_TIME_AND_CHANCE: Final = re.compile(
    r"\b(now|random|gen_random_uuid|uuid\w*|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|age"
    r"|strftime|julianday|unixepoch|datetime)\s*\(|\bcurrent_(date|time|timestamp)\b|\blocaltime(stamp)?\b",
    re.IGNORECASE,
)
_UNKNOWN_TO_CLUSTERS: Final = re.compile(
    r"\b(TRIGGER|MERGE|LISTEN|NOTIFY|TEMP|TEMPORARY|nextval|pg_notify|pg_(try_)?advisory_lock\w*|SET\s+SESSION)\b"
    r"|^SET (?!LOCAL\b|TRANSACTION\b)",
    re.IGNORECASE,
)
_OF_INTERVALS: Final = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM) (grants|members)\b")
_FORBIDDEN: Final = {
    "time and chance": _TIME_AND_CHANCE,
    "cluster": _UNKNOWN_TO_CLUSTERS,
    "intervals": _OF_INTERVALS,
}
_LOCK: Final = rf"FROM clocks WHERE clocks\.bucket = {_BOUND}.* "
_UPSERT: Final = re.compile(r"^INSERT INTO (\w+) .* DO UPDATE SET (.*?)( RETURNING .*)?$")
_IN_UPSERTS: Final = {"greatest", "max", "when"}
_ALL_KEYS: Final = re.compile(r"\b(uri|list|bucket|user_id|principal|key|slot|k[1-4])( ASC| DESC)?(, \w+\.since)?$")
_BY_GROUP: Final = re.compile(r"GROUP BY (\S+) ORDER BY \1( DESC)?\b")


def breaches(statement: str) -> Iterator[tuple[str, str]]:
    """Yield each rule that a statement breaks, with the part that does."""
    text = " ".join(statement.split())
    yield from (("bucket", branch) for branch in without_bucket(text))
    yield from (("order", branch) for branch in without_unique_order(text))
    for rule, pattern in _FORBIDDEN.items():
        if match := pattern.search(text):
            yield rule, match[0]
    if (upsert := _UPSERT.search(text)) and _breaks_upserts(upsert[1], upsert[2]):
        yield "upsert", upsert[2]
    if re.match(r"INSERT INTO (documents|indexes|grants|clocks) .*\) SELECT ", text):
        yield "rows", text
    locked = re.search(r"\bFOR (NO KEY UPDATE|UPDATE|SHARE|KEY SHARE)\b", text)
    # OFFSET 0 keeps the subquery of each range as it is; see `Dialect.look_up`.
    ordered = r"ORDER BY clocks\.list (LIMIT ALL OFFSET 0 )?" if locked and locked[1] == "NO KEY UPDATE" else ""
    if locked and not re.search(_LOCK + ordered + locked[0], text):
        yield "lock", text


@cache
def _breaches_of(statement: str) -> tuple[tuple[str, str], ...]:
    """Return the rules that a statement breaks; a process of the tests sends the same statement many times."""
    return tuple(breaches(statement))


def branches(statement: str) -> Iterator[str]:
    """Yield each SELECT, INSERT, UPDATE and DELETE of a statement, without the subqueries inside it."""
    queries: list[list[str]] = [[]]  # the parts of the queries that are open, the innermost last
    brackets: list[bool] = []  # whether each open bracket began a query
    position = 0
    for match in _BRACKET.finditer(statement):
        queries[-1].append(statement[position : match.start()])
        position = match.end()
        if match[0] == "(":
            queries[-1].append("(")
            brackets.append(_SUBQUERY.match(statement, position) is not None)
            if brackets[-1]:
                queries.append([])
        else:
            if brackets.pop():
                yield from "".join(queries.pop()).split(" UNION ALL ")
            queries[-1].append(")")
    queries[-1].append(statement[position:])
    yield from "".join(queries[0]).split(" UNION ALL ")


def without_bucket(statement: str) -> list[str]:
    """Return the branches in which a table has no literal condition on its bucket: they ask every machine."""
    wrong = []
    for branch in branches(statement):
        for table, alias in _TABLE.findall(branch):
            name = alias or table
            if branch.lstrip().startswith("INSERT"):
                has_bucket = f"INSERT INTO {table} (bucket," in branch
            else:
                has_bucket = _has_condition(re.split(r" (?:WHERE|ON) ", branch)[1:], name)
            if not has_bucket:
                wrong.append(branch)
    return wrong


def _has_condition(conditions: list[str], name: str) -> bool:
    """Return whether one of the conditions is true for rows of given buckets only: in every part of an OR."""
    said = re.compile(rf"\+?{name}\.bucket (?:= {_BOUND}|= \(%s {_OF_BYTES}\)|IN \()")
    return any(_implies(condition, said) for condition in conditions)


def _implies(condition: str, required: re.Pattern[str]) -> bool:
    text = _bare(re.split(r" (?:ORDER BY|GROUP BY|LIMIT|OFFSET|FOR|RETURNING|LEFT|JOIN) ", condition)[0])
    for word, every in ((" OR ", all), (" AND ", any)):
        parts = _parts(text, word)
        if len(parts) > 1:
            return every(_implies(part, required) for part in parts)
    return bool(required.match(text))


def _parts(text: str, word: str) -> list[str]:
    """Split a condition at a word that stands outside of all brackets."""
    depth, start, parts = 0, 0, []
    for match in re.finditer(rf"[()]|{word}", text):
        if match[0] == word and not depth:
            parts.append(text[start : match.start()])
            start = match.end()
        depth += {"(": 1, ")": -1}.get(match[0], 0)
    return [*parts, text[start:]]


def _bare(text: str) -> str:
    """Return a condition without the brackets around all of it."""
    text = text.strip()
    while text.startswith("(") and text.endswith(")") and not _closes_early(text):
        text = text[1:-1].strip()
    return text


def _closes_early(text: str) -> bool:
    """Return whether the bracket that begins a text is closed before its end."""
    depth = 0
    for match in _BRACKET.finditer(text, 0, len(text) - 1):
        depth += 1 if match[0] == "(" else -1
        if not depth:
            return True
    return False


def without_unique_order(statement: str) -> list[str]:
    """Return the branches whose ORDER BY does not end in a unique key: equal rows come in another order each time."""
    orders = (
        (branch, order)
        for branch in branches(statement)
        for order in re.findall(r"ORDER BY (.*?)(?: LIMIT | OFFSET | FOR |$)", branch)
    )
    return [branch for branch, order in orders if not _ALL_KEYS.search(order.strip()) and not _BY_GROUP.search(branch)]


def _breaks_upserts(table: str, assignments: str) -> bool:
    """Return whether an upsert uses anything but the old row, the new row and immutable functions."""
    names = {name.lower() for name in re.findall(r"\b(\w+)\.\w", assignments)}
    functions = {name.lower() for name in re.findall(r"(\w+)\(", assignments)}
    return "SELECT" in assignments or not names <= {"excluded", table} or not functions <= _IN_UPSERTS


@dataclass
class Recorder:
    """A listener to `before_cursor_execute`: the breaches that nothing excuses, and what excused the others."""

    only: str | None = None
    """The name of the one dialect that is listened to."""

    keeping: bool = False
    """Whether the statements are kept."""

    breaches: list[str] = field(default_factory=list)
    excused: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)

    def take(self) -> list[str]:
        """Return the breaches, and forget them."""
        breaches, self.breaches = self.breaches, []
        return breaches

    def __call__(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        """Check a statement. Who sends it is looked up each time, since only some methods may break a rule."""
        if self.keeping:
            self.sent.append(" ".join(statement.split()))
        if self.only not in (None, connection.dialect.name):
            return
        broken = _breaches_of(statement)
        if not broken:
            return
        senders = list(_senders(sys._getframe(1)))
        if not senders:  # a test asks by itself
            return
        for rule, part in broken:
            excuses = [name for name in senders if rule in EXCEPTIONS.get(name, ())]
            self.excused.update(excuses)
            if not excuses:
                self.breaches.append(f"{rule}: {part} (in {senders[0]})")


SUITE: Final = Recorder(only="postgresql")
event.listen(Engine, "before_cursor_execute", SUITE)


def _senders(frame: FrameType | None) -> Iterator[str]:
    """Yield the functions of the service that are being called, from the innermost on.

    Migrations are none, and a takeover is none: it reads Kinto's tables, which are in one database.
    """
    names = []
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(("backends.storage.migrations", "backends.storage.takeover")):
            return
        if module.partition(".")[0] in ("backends", "app", "blueprints", "measuring", "scripts"):
            names.append(frame.f_code.co_qualname)
        elif module.startswith("tests.") and not names:
            return
        frame = frame.f_back
    yield from names
