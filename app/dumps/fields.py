"""Read the fields of a line of a dump: each value is checked; `FieldProblem` names the field that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from app.kinds import Route
from app.parsing.indexes import ATTRIBUTE, index_definitions
from backends import Json
from backends.storage import LATEST, LIVING
from backends.storage.indexes import AUTOMATIC, DECLARED
from backends.storage.transfer.entries import Grant, IndexEntry, Membership

_MAX_NAME_BYTES: Final = 2_000
"""The greatest length of a principal. Clients may grant to shorter ones; PostgreSQL indexes rows of 2,704 bytes."""

_NOTHING: Final[Mapping[str, Json]] = {}
_TOMBSTONE: Final = {"id", "last_modified", "deleted"}


class FieldProblem(Exception):
    """The field of a line, and what is wrong with it."""


def refuse(field: str, problem: str) -> NoReturn:
    """Raise FieldProblem."""
    raise FieldProblem(field, problem)


def expect_members(line: dict[str, Json], names: set[str]) -> None:
    """Raise FieldProblem for a member of a line that is not one of *names*."""
    for name in line:
        if name not in names:
            refuse(name, "it is unknown")


def text_of(line: dict[str, Json], field: str) -> str:
    """Return a text. Raises FieldProblem, as the functions below do."""
    value = line.get(field)
    if not isinstance(value, str):
        refuse(field, "it is no text")
    return value


def is_whole(value: Json) -> bool:
    """Return whether a value is an integer; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def number_of(line: dict[str, Json], field: str) -> int:
    """Return an integer from 0 on that fits into a column."""
    value: Any = line.get(field)
    if not is_whole(value) or not 0 <= value < LIVING:
        refuse(field, f"{str(value)[:40]} is no number from 0 on")
    return int(value)


def timestamp_of(line: dict[str, Json], field: str) -> int:
    """Return a timestamp in ms, from 0 to `LATEST`."""
    return _in_range(line.get(field), field)


def _in_range(value: Json, field: str) -> int:
    if not is_whole(value) or not 0 <= value <= LATEST:
        refuse(field, f"{str(value)[:40]} is no timestamp from 0 to {LATEST}")
    return int(value)


def document_of(line: dict[str, Json], route: Route, last_modified: int, *, deleted: bool) -> dict[str, Json]:
    """Return the document of an object, which has the id of the route and the timestamp *last_modified* in ms."""
    data = line.get("data")
    if not isinstance(data, dict):
        refuse("data", "it is no JSON object")
    if data.get("id") != route.id:
        refuse("data.id", f"it is not the last part of {route.uri}")
    if not is_whole(data.get("last_modified")) or data["last_modified"] != last_modified:
        refuse("data.last_modified", "it is not the last_modified of the line")
    if deleted and (data.get("deleted") is not True or data.keys() != _TOMBSTONE):
        refuse("data", "a tombstone has id, last_modified and deleted, and nothing else")
    return data


def grants_of(line: dict[str, Json], *, deleted: bool) -> list[Grant]:
    """Return the permissions, those that ended included, in their order."""
    grants = []
    for permission, principals in _mapping(line, "permissions").items():
        for principal, since in _mapping(principals, None, f"permissions.{permission}").items():
            grants.append(Grant(permission, principal, _in_range(since, f"permissions.{permission}.{principal}")))
    if deleted and grants:
        refuse("permissions", "a tombstone has none")
    for place, values in enumerate(_array(line, "former_permissions")):
        permission, principal, since, until = _read_former_interval(values, 4, f"former_permissions.{place}")
        grants.append(Grant(permission, principal, since, until))
    for grant in grants:
        _expect_name(grant.permission, "permissions")
        _expect_name(grant.principal, "permissions")
    _expect_distinct([grant[:3] for grant in grants], "former_permissions")
    return sorted(grants)


def memberships_of(line: dict[str, Json], route: Route, *, deleted: bool) -> list[Membership]:
    """Return the memberships, those that ended included, in their order."""
    memberships = [
        Membership(user_id, _in_range(since, f"members.{user_id}"))
        for user_id, since in _mapping(line, "members").items()
    ]
    if deleted and memberships:
        refuse("members", "a tombstone has none")
    for place, values in enumerate(_array(line, "former_members")):
        user_id, since, until = _read_former_interval(values, 3, f"former_members.{place}")
        memberships.append(Membership(user_id, since, until))
    if memberships and not route.kind.membership:
        refuse("members", f"a {route.kind.name} has none")
    for membership in memberships:
        _expect_name(membership.user_id, "members")
    _expect_distinct([membership[:2] for membership in memberships], "former_members")
    return sorted(memberships)


def _mapping(line: Json, field: str | None, name: str = "") -> Mapping[str, Json]:
    value = line if field is None else line.get(field, _NOTHING)
    if not isinstance(value, dict) and value is not _NOTHING:
        refuse(field or name, "it is no JSON object")
    mapping: Mapping[str, Json] = value
    return mapping


def _array(line: dict[str, Json], field: str) -> list[Json]:
    value = line.get(field, [])
    if not isinstance(value, list):
        refuse(field, "it is no array")
    return value


def _read_former_interval(values: Json, length: int, field: str) -> list[Any]:
    if not isinstance(values, list) or len(values) != length:
        refuse(field, f"it is no array of {length} values")
    since, until = (_in_range(value, field) for value in values[-2:])
    if since > until:
        refuse(field, "it ended before it began")
    return values


def _expect_name(name: Json, field: str) -> None:
    if not isinstance(name, str) or not 0 < len(name.encode()) <= _MAX_NAME_BYTES:
        refuse(field, f"a name is expected, a text of 1 to {_MAX_NAME_BYTES} bytes, not {str(name)[:40]!r}")


def _expect_distinct(keys: list[tuple[Any, ...]], field: str) -> None:
    if len(set(keys)) < len(keys):
        refuse(field, "two began at the same time")


def indexes_of(line: dict[str, Json], route: Route, *, exists: bool) -> list[IndexEntry]:
    """Return the indexes of a list, which has none if it does not *exist* or its kind cannot have any."""
    indexes = []
    values = _array(line, "indexes")
    if values and not (exists and route.may_have_indexes):
        refuse("indexes", "this list cannot have any")
    for place, value in enumerate(values):
        if not isinstance(value, dict) or value.keys() != {"definition", "origin"}:
            refuse(f"indexes.{place}", "it has not definition and origin")
        if value["origin"] not in (DECLARED, AUTOMATIC):
            refuse(f"indexes.{place}.origin", f"it is neither {DECLARED} nor {AUTOMATIC}")
        indexes.append(value)
    definitions = index_definitions({ATTRIBUTE: [value["definition"] for value in indexes]})
    if len(definitions) != len(indexes):
        refuse("indexes", "they cannot be declared together")
    return [
        IndexEntry(definition.text(), value["origin"]) for definition, value in zip(definitions, indexes, strict=True)
    ]
