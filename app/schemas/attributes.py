"""Validate attributes of buckets, collections and groups that have a meaning (core contract, 4.14, 4.15)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from app.errors import Problem
from app.parsing.bodies import not_iterable
from app.parsing.ids import principal_problem
from app.schemas.validation import Data, check_schema
from backends import Json

MAX_AGE_SECONDS: Final = 2**31 - 1
"""The longest time that HTTP caches must be able to represent (RFC 9111, section 1.2.2): 68 years."""

_INTERNAL: Final = "__permissions__"


def validate_data(kind_name: str, data: Data, prefix: str = "data.") -> tuple[Data, list[Problem]]:
    """Return the attributes of an object, completed and converted, and their problems.

    The names of problems begin with *prefix*, which is empty for the result of a patch (core contract, 4.7).
    """
    attributes = {name: value for name, value in data.items() if name != _INTERNAL}
    check = _ATTRIBUTES.get(kind_name)
    return check(attributes, prefix) if check else (attributes, [])


def _check_group(data: Data, prefix: str) -> tuple[Data, list[Problem]]:
    """Check `members`, a list of principals, empty by default (C-OBJ-62), without everyone and groups (C-OBJ-63)."""
    members = data.get("members", [])
    name = f"{prefix}members"
    if not isinstance(members, list):
        return data, [not_iterable(name, members)]
    problems = (_check_member(member, f"{name}.{index}") for index, member in enumerate(members))
    return {**data, "members": members}, [problem for problem in problems if problem]


def _check_member(member: Json, name: str) -> Problem | None:
    problem = principal_problem(member, name)
    if problem is None and (member == "system.Everyone" or member.startswith("/buckets/")):
        return Problem("body", name, f"'{member}' is not a valid user ID.")
    return problem


def _check_collection(data: Data, prefix: str) -> tuple[Data, list[Problem]]:
    """Check `schema` and convert `cache_expires` (C-OBJ-67)."""
    data, problems = _convert_cache_expires(data, f"{prefix}cache_expires")
    if "schema" in data:
        problems.append(check_schema(data["schema"], f"{prefix}schema"))
    return data, [problem for problem in problems if problem]


def _convert_cache_expires(data: Data, name: str) -> tuple[Data, list[Problem | None]]:
    value = data.get("cache_expires")
    if value is None or value in ("", [], {}):
        return {attribute: value for attribute, value in data.items() if attribute != "cache_expires"}, []
    try:
        seconds = None if isinstance(value, bool) else int(value)
    except (TypeError, ValueError):
        seconds = None
    if seconds is None:
        return data, [Problem("body", name, f'"{value}" is not a number')]
    if seconds > MAX_AGE_SECONDS:
        return data, [Problem("body", name, f"{seconds} is greater than maximum value {MAX_AGE_SECONDS}")]
    return {**data, "cache_expires": seconds}, []


def _check_bucket(data: Data, prefix: str) -> tuple[Data, list[Problem]]:
    """Check the schemas for the objects in the bucket (C-OBJ-68)."""
    names = [f"{kind}:schema" for kind in ("record", "collection", "group")]
    problems = [check_schema(data[name], f"{prefix}{name}") for name in names if name in data]
    return data, [problem for problem in problems if problem]


_ATTRIBUTES: Final[Mapping[str, Callable[[Data, str], tuple[Data, list[Problem]]]]] = {
    "group": _check_group,
    "collection": _check_collection,
    "bucket": _check_bucket,
}
