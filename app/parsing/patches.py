"""Patch an object: plain, merge (RFC 7396) or JSON Patch (RFC 6902); core contract, 4.7 to 4.10.

A patch is parsed once and applied to the stored object, perhaps again after a retry, so `apply` modifies no argument.
It receives all permissions, even those that the caller may not see: a list that the patch does not name is unchanged
(C-OBJ-38).
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from jsonpatch import JsonPatchException, apply_patch
from jsonpointer import EndOfList, JsonPointer, JsonPointerException

from app.errors import Invalid, Problem, first_problems
from app.parsing.bodies import MAX_DEPTH, is_deeper_than, is_same, not_a_mapping, not_iterable
from app.parsing.ids import principal_problem
from backends import Json
from backends.codec import dumps

Data = dict[str, Json]
Permissions = Mapping[str, frozenset[str]]

OPERATIONS: Final = ("test", "add", "remove", "replace", "move", "copy")
MAX_COPIED_CHARACTERS: Final = 10_000_000
"""The most characters of JSON that one patch may copy: a few copies of `/data` into itself would fill memory."""

MAX_COPIED_FACTOR: Final = 4
"""The same bound as a multiple of the size of object and patch together."""

MAX_SHIFTED_FACTOR: Final = 1_000
"""How many elements of arrays a patch may shift, as a multiple of that size in characters: one that is added at the
beginning of an array, or removed there, shifts all others."""

EMPTY_PATCH: Final = Problem("body", "data", "Provide at least one of data or permissions")


class Patch(ABC):
    """A patch of an object in one of the formats."""

    @abstractmethod
    def apply(self, data: Data, permissions: Permissions, /) -> tuple[Data, Permissions]:
        """Return the patched data and permissions of an object. Raises Invalid if the patch cannot be applied."""

    @abstractmethod
    def members(self, result: Data, /) -> Data:
        """Return the members that the patch names, with their values in the patch; *result* is that of `apply`."""

    def reply_members(self, behaviour: str, before: Data, result: Data, after: Data) -> Data:
        """Return the members in a reply with `Response-Behavior: light` or `diff` (C-OBJ-41, C-OBJ-42, C-OBJ-44).

        *before* is the object as it was stored, *result* that of `apply`, *after* the object as it is stored
        now.
        """
        members = self.members(result)
        light = {
            name: after[name]
            for name in members
            if name in after and not (name in before and is_same(before[name], after[name]))
        }
        if behaviour == "light":
            return light
        return {name: value for name, value in light.items() if not is_same(value, members[name])}


@dataclass(frozen=True, slots=True)
class ShallowPatch(Patch):
    """A plain patch: its members and lists of principals replace those of the object."""

    data: Data
    permissions: Data

    def apply(self, data: Data, permissions: Permissions) -> tuple[Data, Permissions]:
        """Replace top-level members, null included (C-OBJ-22); null for a list of principals keeps it (C-OBJ-23)."""
        lists = {name: frozenset(value) for name, value in self.permissions.items() if value is not None}
        return data | self.data, {**permissions, **lists}

    def members(self, _result: Data, /) -> Data:
        """Return the members in the body."""
        return self.data


@dataclass(frozen=True, slots=True)
class MergePatch(Patch):
    """A merge patch: mappings are merged, null removes a member."""

    data: Data
    permissions: Data

    def apply(self, data: Data, permissions: Permissions) -> tuple[Data, Permissions]:
        """Merge the data (C-OBJ-27); null for a permission clears its list (C-OBJ-28)."""
        lists = {name: frozenset(value or ()) for name, value in self.permissions.items()}
        return merge_recursive(data, self.data), {**permissions, **lists}

    def members(self, _result: Data, /) -> Data:
        """Return the members in the body."""
        return self.data


@dataclass(frozen=True, slots=True)
class EmptyPatch(Patch):
    """A patch without members: an error only when it is applied, so after the checks of the object (C-OBJ-24)."""

    def apply(self, _data: Data, _permissions: Permissions, /) -> tuple[Data, Permissions]:
        """Raise Invalid."""
        raise Invalid(EMPTY_PATCH)

    def members(self, _result: Data, /) -> Data:
        """Return no members."""
        return {}


@dataclass(frozen=True, slots=True)
class JsonPatch(Patch):
    """A JSON Patch on the document of `data` and `permissions`; `names` are the permissions of the kind."""

    operations: tuple[Data, ...]
    names: tuple[str, ...]

    def apply(self, data: Data, permissions: Permissions) -> tuple[Data, Permissions]:
        """Apply all operations or none (C-OBJ-31, C-OBJ-33)."""
        lists = {name: {principal: principal for principal in permissions.get(name, ())} for name in self.names}
        document: Json = {"data": copy.deepcopy(data), "permissions": lists}
        budget = _Budget(document, self.operations)
        try:
            for operation in map(self._complete, self.operations):
                budget.charge(document, operation)
                document = apply_patch(document, [operation], in_place=True)
                _keep_list(document, operation)
        except (JsonPatchException, JsonPointerException) as error:
            raise _failure(str(error)) from error
        except RecursionError as error:
            raise _failure("the result is nested too deeply") from error
        return _data_of(document), self._permissions_of(document, permissions)

    def members(self, result: Data) -> Data:
        """Return every member of the patched document: all of them count as named."""
        return result

    def _complete(self, operation: Data) -> Data:
        """Complete an operation for the library, which sees each set of principals as a mapping (C-OBJ-32)."""
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

    def _permissions_of(self, document: Json, before: Permissions) -> Permissions:
        """Return the patched permissions; a list that the patched document lacks is unchanged. Raises Invalid."""
        if "permissions" not in document:
            raise _failure("/permissions must stay a mapping")
        lists = document["permissions"] or {}
        if not isinstance(lists, dict):
            raise _failure("/permissions must stay a mapping")
        for name in lists:
            if name not in self.names:
                raise Invalid(unknown_permission(name, self.names))
        lists = _as_sets(lists)
        possible = (
            principal_problem(principal, f"permissions.{name}.{index}")
            for name, principals in lists.items()
            for index, principal in enumerate(principals)
            if principal not in before.get(name, ())
        )
        problems = first_problems(problem for problem in possible if problem)
        if problems:
            raise Invalid(*problems)
        return {name: frozenset(lists.get(name, before.get(name, ()))) for name in self.names}


def parse_shallow(body: Data) -> Patch:
    """Return the patch of an `application/json` body whose envelope is well-formed."""
    if not body:
        return EmptyPatch()
    return ShallowPatch(body.get("data", {}), body.get("permissions", {}))


def parse_merge(body: Data) -> Patch:
    """Return the patch of a merge patch body whose envelope is well-formed."""
    if not body:
        return EmptyPatch()
    return MergePatch(body.get("data", {}), body.get("permissions", {}))


def parse_json_patch(body: Json, names: Sequence[str]) -> JsonPatch | tuple[Problem, ...]:
    """Return the patch of a JSON Patch body, or its problems (C-OBJ-34); *names* are the permissions of the kind."""
    if not isinstance(body, list):
        return (not_iterable("", body),)
    problems = first_problems(
        problem for index, operation in enumerate(body) for problem in _shape_problems(operation, str(index))
    )
    # An empty `from` counts as absent.
    operations = ({name: value for name, value in one.items() if name != "from" or value} for one in body)
    return problems or JsonPatch(tuple(operations), tuple(names))


def merge_recursive(target: Json, patch: Json) -> Json:
    """Merge a patch into a value (RFC 7396, section 2); a mapping replaces any other value (C-OBJ-30)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_recursive(result.get(name), value)
    return result


def unknown_permission(name: str, names: Sequence[str]) -> Problem:
    """Return the problem of a permission that the kind does not have (C-ERR-21, C-OBJ-39)."""
    return Problem("body", "permissions", f'"{name}" is not one of {", ".join(names)}')


def _failure(reason: str) -> Invalid:
    return Invalid(Problem("body", None, f"JSON Patch operation failed: {reason}"))


def _data_of(document: Json) -> Data:
    data = document.get("data")
    if not isinstance(data, dict):
        raise _failure("/data must stay a mapping")
    if is_deeper_than(data, MAX_DEPTH):
        raise _failure(f"/data is nested more than {MAX_DEPTH} levels deep")
    return data


class _Budget:
    """The characters of JSON that a patch may still copy, and the elements of arrays that it may still shift."""

    def __init__(self, document: Json, operations: Sequence[Data]) -> None:
        # Fewer operations cannot shift more: no array has more elements than characters.
        self._counts_shifts = len(operations) > MAX_SHIFTED_FACTOR
        is_bounded = self._counts_shifts or any(operation["op"] == "copy" for operation in operations)
        size = len(dumps(document)) + len(dumps(list(operations))) if is_bounded else 0
        self._copies = min(MAX_COPIED_CHARACTERS, MAX_COPIED_FACTOR * size)
        self._shifts = MAX_SHIFTED_FACTOR * size

    def charge(self, document: Json, operation: Data) -> None:
        """Charge an operation before it is applied to *document*. Raises Invalid if the budget is exhausted."""
        if operation["op"] == "copy":
            self._copies -= _size_of_source(document, operation)
            if self._copies < 0:
                raise _failure("too much is copied")
        if self._counts_shifts:
            self._shifts -= sum(_elements_behind(document, operation[name]) for name in _shifting(operation))
            if self._shifts < 0:
                raise _failure("too many elements of arrays are shifted")


def _shifting(operation: Data) -> Iterator[str]:
    """Yield the names of the pointers by which an operation adds or removes an element of an array."""
    if operation["op"] in ("add", "remove", "move", "copy"):
        yield "path"
    if operation["op"] == "move" and "from" in operation:
        yield "from"


def _elements_behind(document: Json, pointer: str) -> int:
    """Return the number of elements of an array from the one at *pointer* on, 0 if it is no element of an array."""
    try:
        container, place = JsonPointer(pointer).to_last(document)
    except JsonPointerException:
        return 0
    return max(len(container) - place, 0) if isinstance(container, list) and isinstance(place, int) else 0


def _size_of_source(document: Json, operation: Data) -> int:
    """Return the size of the value that an operation copies, in characters of JSON.

    The size is 0 if the operation fails: the library reports the reason.
    """
    if "from" not in operation:
        return 0
    try:
        source = JsonPointer(operation["from"]).resolve(document)
    except JsonPointerException:
        return 0
    return 0 if isinstance(source, EndOfList) else len(dumps(source))


def _keep_list(document: Json, operation: Data) -> None:
    """Leave an empty list of principals where one was moved away: a list that is absent would be unchanged."""
    if operation["op"] == "move" and isinstance(document, dict) and isinstance(document.get("permissions"), dict):
        area, *names = JsonPointer(operation["from"]).parts
        if area == "permissions" and len(names) == 1:
            document["permissions"].setdefault(names[0], {})


def _as_sets(value: Json) -> Json:
    """Return a mapping of lists of principals as sets; any other value is returned unchanged and rejected later."""
    return {name: _as_set(name, values) for name, values in value.items()} if isinstance(value, dict) else value


def _as_set(name: str, principals: Json) -> Json:
    """Return a list of principals, or a mapping with principals as keys, as a mapping of each principal to itself.

    Raises Invalid if the value is neither, or an element is not a principal.
    """
    if isinstance(principals, dict):
        return {principal: principal for principal in principals}
    if not isinstance(principals, list):
        raise Invalid(not_iterable(f"permissions.{name}", principals))
    possible = (
        principal_problem(principal, f"permissions.{name}.{index}") for index, principal in enumerate(principals)
    )
    problems = first_problems(problem for problem in possible if problem)
    if problems:
        raise Invalid(*problems)
    return {principal: principal for principal in principals}


def _shape_problems(operation: Json, name: str) -> list[Problem]:
    if not isinstance(operation, dict):
        return [not_a_mapping(name, operation)]
    problems = [_pointer_problem(operation, name, member) for member in ("path", "from")]
    problems.append(_operator_problem(operation.get("op"), f"{name}.op"))
    unknown = {key: value for key, value in operation.items() if key not in ("op", "path", "from", "value")}
    if unknown:
        problems.append(Problem("body", name, f'Unrecognized keys in mapping: "{unknown}"'))
    return [problem for problem in problems if problem]


def _operator_problem(operator: Json, name: str) -> Problem | None:
    if not operator:
        return Problem("body", name, "Required")
    if not isinstance(operator, str):
        return Problem("body", name, f"{operator} is not a string: {{'op': ''}}")
    if operator in OPERATIONS:
        return None
    return Problem("body", name, f'"{operator}" is not one of {", ".join(OPERATIONS)}')


def _pointer_problem(operation: Data, name: str, member: str) -> Problem | None:
    pointer = operation.get(member)
    if not pointer:
        return Problem("body", f"{name}.{member}", "Required") if member == "path" else None
    if not isinstance(pointer, str):
        return Problem("body", f"{name}.{member}", f"{pointer} is not a string: {{'{member}': ''}}")
    if not pointer.startswith("/"):
        return Problem("body", f"{name}.{member}", "String does not match expected pattern")
    return None
