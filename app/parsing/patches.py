"""Change an object by a patch: plain, merge (RFC 7396) or JSON Patch (RFC 6902); core contract, 4.7 to 4.10.

A patch is parsed once and applied to what is stored, perhaps again after a retry, so applying changes no argument.
All permissions are given to it, also those that the caller may not see: what it does not name stays (C-OBJ-38).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from jsonpatch import JsonPatchException, apply_patch
from jsonpointer import EndOfList, JsonPointer, JsonPointerException

from app.errors import Invalid, Problem, first_problems
from app.parsing.bodies import MAX_DEPTH, deeper_than, not_a_mapping, not_iterable, same
from app.parsing.ids import principal_problem
from backends import Json
from backends.codec import dumps

Data = dict[str, Json]
Permissions = Mapping[str, frozenset[str]]

OPERATIONS: Final = ("test", "add", "remove", "replace", "move", "copy")
MAX_COPIED: Final = 10_000_000
"""How many characters of JSON the copies of one patch may add up to: a few of `/data` into itself would fill memory."""

MAX_COPIED_TIMES: Final = 4
"""How many times the object and the patch together the copies may add up to."""

NOTHING_GIVEN: Final = Problem("body", "data", "Provide at least one of data or permissions")


class Patch(ABC):
    """A change of an object, as a client asked for it."""

    @abstractmethod
    def apply(self, data: Data, permissions: Permissions) -> tuple[Data, Permissions]:
        """Return what becomes of the data and the permissions of an object. Raises Invalid when it cannot be done."""

    @abstractmethod
    def sent(self, patched: Data) -> Data:
        """Return the members that the patch names, with the value that it has for each; *patched* is its result."""

    def behave(self, behaviour: str, before: Data, patched: Data, after: Data) -> Data:
        """Return the members that `Response-Behavior: light` or `diff` shows (C-OBJ-41, C-OBJ-42, C-OBJ-44).

        *before* is what was stored, *patched* what `apply` made of it, *after* what is stored now.
        """
        sent = self.sent(patched)
        light = {
            name: after[name]
            for name in sent
            if name in after and not (name in before and same(before[name], after[name]))
        }
        if behaviour == "light":
            return light
        return {name: value for name, value in light.items() if not same(value, sent[name])}


@dataclass(frozen=True, slots=True)
class Shallow(Patch):
    """A plain patch: members given replace those of the object, lists of principals given replace the lists."""

    data: Data
    permissions: Data

    def apply(self, data: Data, permissions: Permissions) -> tuple[Data, Permissions]:
        """Replace members one level deep, null included (C-OBJ-22); a list that is null stays (C-OBJ-23)."""
        given = {name: frozenset(value) for name, value in self.permissions.items() if value is not None}
        return data | self.data, {**permissions, **given}

    def sent(self, patched: Data) -> Data:
        """Return the members given."""
        return self.data


@dataclass(frozen=True, slots=True)
class Merge(Patch):
    """A merge patch: mappings are merged, null removes."""

    data: Data
    permissions: Data

    def apply(self, data: Data, permissions: Permissions) -> tuple[Data, Permissions]:
        """Merge the data (C-OBJ-27); null for a permission clears its list (C-OBJ-28)."""
        given = {name: frozenset(value or ()) for name, value in self.permissions.items()}
        return merge_recursive(data, self.data), {**permissions, **given}

    def sent(self, patched: Data) -> Data:
        """Return the members given."""
        return self.data


@dataclass(frozen=True, slots=True)
class Nothing(Patch):
    """A patch that names nothing: refused when it is applied, so not before it is known what to (C-OBJ-24)."""

    def apply(self, data: Data, permissions: Permissions) -> tuple[Data, Permissions]:
        """Refuse."""
        raise Invalid(NOTHING_GIVEN)

    def sent(self, patched: Data) -> Data:
        """Return nothing."""
        return {}


@dataclass(frozen=True, slots=True)
class JsonPatch(Patch):
    """A JSON Patch on the document of `data` and `permissions`; `names` are the permissions of the kind."""

    operations: tuple[Data, ...]
    names: tuple[str, ...]

    def apply(self, data: Data, permissions: Permissions) -> tuple[Data, Permissions]:
        """Do all operations or none (C-OBJ-31, C-OBJ-33)."""
        lists = {name: {principal: principal for principal in permissions.get(name, ())} for name in self.names}
        document: Json = {"data": copy.deepcopy(data), "permissions": lists}
        copies_left: int | None = None
        try:
            for operation in map(self._completed, self.operations):
                if operation["op"] == "copy":
                    if copies_left is None:
                        size = len(dumps(document)) + len(dumps(list(self.operations)))
                        copies_left = min(MAX_COPIED, MAX_COPIED_TIMES * size)
                    copies_left -= _size_of_source(document, operation)
                    if copies_left < 0:
                        raise _failure("too much is copied")
                document = apply_patch(document, [operation], in_place=True)
                _keep_list(document, operation)
        except (JsonPatchException, JsonPointerException) as error:
            raise _failure(str(error)) from error
        except RecursionError as error:
            raise _failure("the result is nested too deeply") from error
        return _patched_data(document), self._patched_permissions(document, permissions)

    def sent(self, patched: Data) -> Data:
        """Return every member of the patched document: all of it counts as named."""
        return patched

    def _completed(self, operation: Data) -> Data:
        """Return an operation as the library wants it: permissions are sets, so their values are ours (C-OBJ-32)."""
        parts = JsonPointer(operation["path"]).parts
        sources = JsonPointer(operation["from"]).parts if "from" in operation else parts
        if {parts[0], sources[0]} - {"data", "permissions"}:
            raise _failure("only /data and /permissions can be patched")
        if parts[0] == "data":
            return operation
        if len(parts) > 1 and parts[1] not in self.names:
            raise Invalid(unknown_permission(parts[1], self.names))
        if len(parts) == 2 and operation["op"] == "remove":
            return {"op": "replace", "path": operation["path"], "value": {}}
        if len(parts) >= 3:
            return operation | {"value": parts[2]}
        if operation["op"] not in ("add", "replace") or "value" not in operation:
            return operation
        if len(parts) == 2:
            return operation | {"value": _as_set(parts[1], operation["value"])}
        return operation | {"value": _as_sets(operation["value"])}

    def _patched_permissions(self, document: Json, before: Permissions) -> Permissions:
        """Return the permissions that result. Lists that the patched document does not have stay as they were."""
        if "permissions" not in document:
            raise _failure("/permissions must stay a mapping")
        lists = document["permissions"] or {}
        if not isinstance(lists, dict):
            raise _failure("/permissions must stay a mapping")
        for name in lists:
            if name not in self.names:
                raise Invalid(unknown_permission(name, self.names))
        lists = _as_sets(lists)
        checked = (
            principal_problem(principal, f"permissions.{name}.{index}")
            for name, principals in lists.items()
            for index, principal in enumerate(principals)
            if principal not in before.get(name, ())
        )
        problems = first_problems(problem for problem in checked if problem)
        if problems:
            raise Invalid(*problems)
        return {name: frozenset(lists.get(name, before.get(name, ()))) for name in self.names}


def parse_shallow(body: Data) -> Patch:
    """Return the patch of an `application/json` body whose envelope is well-formed."""
    if not body:
        return Nothing()
    return Shallow(body.get("data", {}), body.get("permissions", {}))


def parse_merge(body: Data) -> Patch:
    """Return the patch of a merge patch body whose envelope is well-formed."""
    if not body:
        return Nothing()
    return Merge(body.get("data", {}), body.get("permissions", {}))


def parse_json_patch(body: Json, names: Sequence[str]) -> JsonPatch | tuple[Problem, ...]:
    """Return the patch of a JSON Patch body, or what is wrong (C-OBJ-34); *names* are the permissions of the kind."""
    if not isinstance(body, list):
        return (not_iterable("", body),)
    problems = first_problems(
        problem for index, operation in enumerate(body) for problem in _misshapen(operation, str(index))
    )
    # An empty `from` counts as none.
    operations = ({name: value for name, value in one.items() if name != "from" or value} for one in body)
    return problems or JsonPatch(tuple(operations), tuple(names))


def merge_recursive(target: Json, patch: Json) -> Json:
    """Merge as RFC 7396, section 2, says; what is no mapping is replaced by the patch of a mapping (C-OBJ-30)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_recursive(merged.get(name), value)
    return merged


def unknown_permission(name: str, names: Sequence[str]) -> Problem:
    """Say that a kind has no permission *name* (C-ERR-21, C-OBJ-39)."""
    return Problem("body", "permissions", f'"{name}" is not one of {", ".join(names)}')


def _failure(reason: str) -> Invalid:
    return Invalid(Problem("body", None, f"JSON Patch operation failed: {reason}"))


def _patched_data(document: Json) -> Data:
    data = document.get("data")
    if not isinstance(data, dict):
        raise _failure("/data must stay a mapping")
    if deeper_than(data, MAX_DEPTH):
        raise _failure(f"/data is nested more than {MAX_DEPTH} levels deep")
    return data


def _size_of_source(document: Json, operation: Data) -> int:
    """Return how many characters of JSON a copy takes, 0 for one that fails: the library says why."""
    if "from" not in operation:
        return 0
    try:
        source = JsonPointer(operation["from"]).resolve(document)
    except JsonPointerException:
        return 0
    return 0 if isinstance(source, EndOfList) else len(dumps(source))


def _keep_list(document: Json, operation: Data) -> None:
    """Leave an empty list of principals where one was moved away: a list that is not there would stay as it was."""
    if operation["op"] == "move" and isinstance(document, dict) and isinstance(document.get("permissions"), dict):
        area, *names = JsonPointer(operation["from"]).parts
        if area == "permissions" and len(names) == 1:
            document["permissions"].setdefault(names[0], {})


def _as_sets(value: Json) -> Json:
    """Return lists of principals by name as sets; what is no mapping is found out at the end."""
    return {name: _as_set(name, listed) for name, listed in value.items()} if isinstance(value, dict) else value


def _as_set(name: str, principals: Json) -> Json:
    """Return a list of principals, or a mapping with principals for keys, as a mapping of each to itself.

    Raises Invalid for what is no list, or has elements that are no principals.
    """
    if isinstance(principals, dict):
        return {principal: principal for principal in principals}
    if not isinstance(principals, list):
        raise Invalid(not_iterable(f"permissions.{name}", principals))
    checked = (principal_problem(one, f"permissions.{name}.{index}") for index, one in enumerate(principals))
    problems = first_problems(problem for problem in checked if problem)
    if problems:
        raise Invalid(*problems)
    return {principal: principal for principal in principals}


def _misshapen(operation: Json, name: str) -> list[Problem]:
    if not isinstance(operation, dict):
        return [not_a_mapping(name, operation)]
    problems = [_wrong_pointer(operation, name, member) for member in ("path", "from")]
    problems.append(_wrong_operator(operation.get("op"), f"{name}.op"))
    unknown = {key: value for key, value in operation.items() if key not in ("op", "path", "from", "value")}
    if unknown:
        problems.append(Problem("body", name, f'Unrecognized keys in mapping: "{unknown}"'))
    return [problem for problem in problems if problem]


def _wrong_operator(operator: Json, name: str) -> Problem | None:
    if not operator:
        return Problem("body", name, "Required")
    if not isinstance(operator, str):
        return Problem("body", name, f"{operator} is not a string: {{'op': ''}}")
    if operator in OPERATIONS:
        return None
    return Problem("body", name, f'"{operator}" is not one of {", ".join(OPERATIONS)}')


def _wrong_pointer(operation: Data, name: str, member: str) -> Problem | None:
    pointer = operation.get(member)
    if not pointer:
        return Problem("body", f"{name}.{member}", "Required") if member == "path" else None
    if not isinstance(pointer, str):
        return Problem("body", f"{name}.{member}", f"{pointer} is not a string: {{'{member}': ''}}")
    if not pointer.startswith("/"):
        return Problem("body", f"{name}.{member}", "String does not match expected pattern")
    return None
