"""Read a dump: check every line, and return what is in it. Nothing is trusted.

What is read is sound: objects are of known kinds, in their order and below living parents, timestamps in range, every
list with objects has a clock that is not below any of them, and counts are those of the objects. A stream that was
truncated or changed is noticed at its end: use nothing of a dump before that.

In memory there is one line, the living objects of one section that contain lists, and the lists of the section.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from app.dumps.fields import (
    FieldProblem,
    document_of,
    expect_members,
    grants_of,
    indexes_of,
    is_whole,
    memberships_of,
    number_of,
    refuse,
    text_of,
    timestamp_of,
)
from app.dumps.writing import CHECKSUM_BYTES, FORMAT, FORMAT_VERSION
from app.errors import Invalid
from app.kinds import Kinds, Route
from app.parsing.bodies import MAX_DEPTH, decode
from backends import Json
from backends.codec import dumps
from backends.storage import LIVING
from backends.storage.transfer.entries import Entry, ListEntry, ObjectEntry, Place, place_of_list, place_of_object

_MAX_DEPTH: Final = MAX_DEPTH + 10
"""The deepest nesting of a line: the entry of a history has an object in it, and a line has that."""

_HEADER: Final = {FORMAT, "service", "time", "secrets", "buckets"}
_OBJECT: Final = {
    "uri",
    "born",
    "last_modified",
    "deleted",
    "data",
    "permissions",
    "former_permissions",
    "members",
    "former_members",
}
_LIST: Final = {"list", "last_modified", "floor", "count", "former", "indexes"}
_END: Final = {"objects", "lists", "checksum"}


class BadLine(Exception):
    """A line of a dump cannot be used: its number, the field, and the problem."""

    def __init__(self, number: int, field: str, problem: str) -> None:
        super().__init__(f"line {number}: {field}: {problem}." if field else f"line {number}: {problem}.")


@dataclass
class _Count:
    """The living objects of a list, and the newest timestamp of any of its objects."""

    living: int = 0
    newest: int = 0


class Reader:
    """Reads the lines of a dump for a service with some kinds.

    `missing_secrets` counts, by kind and private field, objects that lack what the dump left out, as the passwords of
    accounts. `oddities` counts what the service would not write today, and older versions, other settings or Kinto may
    have written: it is loaded as it is.
    """

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self.missing_secrets: Counter[tuple[str, str]] = Counter()
        self._has_secrets = False
        self.oddities: Counter[str] = Counter()
        self._number = 0
        self._place: Place = ("", 0, "")
        self._living: set[str] = set()
        self._counts: dict[str, _Count] = {}
        self._counts_at_top: dict[str, _Count] = {}
        self._lists_at_top: dict[str, ListEntry] = {}

    def entries(self, lines: Iterable[bytes]) -> Iterator[Entry]:
        """Yield the entries; lists at the top come last. Raises BadLine, also after the last entry."""
        try:
            yield from self._entries(iter(lines))
        except FieldProblem as problem:
            raise BadLine(max(self._number, 1), *problem.args) from None

    def _entries(self, lines: Iterator[bytes]) -> Iterator[Entry]:
        checksum = hashlib.blake2b(digest_size=CHECKSUM_BYTES)
        self._read_header(self._next(lines))
        checksum.update(self._raw)
        objects = lists = 0
        while "end" not in (line := self._next(lines)):
            if "uri" in line:
                objects += 1
                yield self._read_object(line)
            elif "list" in line:
                lists += 1
                if (entry := self._read_list(line)) is not None:
                    yield entry
            else:
                refuse("", "it has neither uri nor list")
            checksum.update(self._raw)
        self._end_section()
        yield from self._end_lists_at_top()
        self._read_end(line, {"objects": objects, "lists": lists, "checksum": checksum.hexdigest()})
        if next(lines, None) is not None:
            self._number += 1
            refuse("", "the dump goes on after its end")

    def _next(self, lines: Iterator[bytes]) -> dict[str, Json]:
        """Return the next line, decoded."""
        self._raw = next(lines, b"")
        if not self._raw.endswith(b"\n"):
            refuse("", "the dump is truncated after this line")
        self._number += 1
        try:
            line = decode(self._raw, max_depth=_MAX_DEPTH)
        except Invalid as error:
            problem = error.problems[0]
            refuse(str(problem.name or ""), problem.description)
        if not isinstance(line, dict):
            refuse("", "it is no JSON object")
        return line

    def _read_header(self, line: dict[str, Json]) -> None:
        version = line.get(FORMAT)
        if not is_whole(version):
            refuse(FORMAT, "this is no dump")
        if version != FORMAT_VERSION:
            refuse(FORMAT, f"the version {version} of the format is unknown, it may be of a newer service")
        expect_members(line, _HEADER)
        self._has_secrets = line.get("secrets") is True

    def _read_end(self, line: dict[str, Json], totals: dict[str, Json]) -> None:
        expect_members(line, {"end"})
        end = line["end"]
        if not isinstance(end, dict):
            refuse("end", "it is no JSON object")
        expect_members(end, _END)
        for name, value in totals.items():
            if end.get(name) != value:
                refuse(f"end.{name}", f"it is {end.get(name)}, and that of the lines above is {value}")

    def _follow(self, place: Place, field: str) -> None:
        """Go on to the next place. The lists of a section must have been complete."""
        if place <= self._place:
            refuse(field, "it is not in the order of a dump, or there twice")
        if place[0] != self._place[0]:
            self._end_section()
        self._place = place

    def _end_section(self) -> None:
        for name in self._counts:
            refuse("", f"{name} has objects, and the line of the list is missing above")
        self._living.clear()

    def _read_object(self, line: dict[str, Json]) -> ObjectEntry:
        expect_members(line, _OBJECT)
        uri = text_of(line, "uri")
        route = self._kinds.match(uri)
        if route is None or route.on_list:
            refuse("uri", f"no kind of objects has the path {uri}; includes may lack a plugin")
        self.oddities["objects with an id that new objects cannot have"] += not route.kind.generator.match(route.id)
        self._follow(place_of_object(uri), "uri")
        if route.parent is not None and route.parent.uri not in self._living:
            refuse("uri", f"its parent {route.parent.uri} does not exist")
        deleted = line.get("deleted", False)
        if not isinstance(deleted, bool):
            refuse("deleted", "it is neither true nor false")
        last_modified = timestamp_of(line, "last_modified")
        document = document_of(line, route, last_modified, deleted=deleted)
        entry = ObjectEntry(
            uri,
            timestamp_of(line, "born"),
            last_modified,
            deleted,
            dumps(document),
            grants_of(line, deleted=deleted),
            memberships_of(line, route, deleted=deleted),
        )
        self._note_object(route, entry)
        self._note_oddities(route, entry, document)
        if not deleted and not self._has_secrets:
            self.missing_secrets.update((route.kind.name, name) for name in route.kind.private if name not in document)
        return entry

    def _note_object(self, route: Route, entry: ObjectEntry) -> None:
        counts = self._counts_at_top if route.parent is None else self._counts
        count = counts.setdefault(route.list, _Count())
        count.living += not entry.deleted
        count.newest = max(count.newest, entry.last_modified)
        if not entry.deleted and self._kinds.children(route.kind):
            self._living.add(entry.uri)

    def _note_oddities(self, route: Route, entry: ObjectEntry, document: dict[str, Json]) -> None:
        permissions = {*route.kind.permissions}
        unknown = sum(grant.permission not in permissions for grant in entry.grants if grant.until == LIVING)
        self.oddities["permissions of unknown names"] += unknown
        if entry.members:
            member_names = document.get("members")
            users = (
                {user for user in member_names if isinstance(user, str)} if isinstance(member_names, list) else set()
            )
            strangers = sum(each.user_id not in users for each in entry.members if each.until == LIVING)
            self.oddities["members whom their group does not name"] += strangers

    def _read_list(self, line: dict[str, Json]) -> ListEntry | None:
        """Return a list; nothing for one at the top, whose objects follow, and for an empty one of an unknown kind."""
        expect_members(line, _LIST)
        name = text_of(line, "list")
        route = self._kinds.match(name)
        self._follow(place_of_list(name), "list")
        if route is None and number_of(line, "count") == 0:
            # Every database has a list of accounts.
            return None
        if route is None or not route.on_list:
            refuse("list", f"no kind of objects has the list {name}; includes may lack a plugin")
        former = None if line.get("former") is None else number_of(line, "former")
        floor, last_modified = (timestamp_of(line, field) for field in ("floor", "last_modified"))
        exists = route.parent is None or route.parent.uri in self._living
        entry = ListEntry(
            name, last_modified, floor, number_of(line, "count"), former, indexes_of(line, route, exists=exists)
        )
        if route.parent is None:
            self._lists_at_top[name] = entry
            return None
        return _complete(entry, self._counts.pop(name, _Count()), exists=exists)

    def _end_lists_at_top(self) -> Iterator[ListEntry]:
        """Yield the lists at the top; those that a dump of some buckets lacks have the clock 0."""
        names = sorted(self._lists_at_top.keys() | self._counts_at_top.keys())
        for name in names:
            entry = self._lists_at_top.get(name, ListEntry(name, 0, 0, 0, None))
            yield _complete(entry, self._counts_at_top.get(name, _Count()), exists=True)


def _complete(entry: ListEntry, count: _Count, *, exists: bool) -> ListEntry:
    """Return a list with the number of its objects, and a clock that is not below any of them.

    The clock of a list that no longer *exists* keeps its last number.
    """
    last_modified = max(entry.last_modified, count.newest)
    living = count.living if exists else entry.count
    return replace(entry, last_modified=last_modified, floor=min(entry.floor, last_modified), count=living)
