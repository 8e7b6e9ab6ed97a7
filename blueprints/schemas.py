"""Validate the shape of bodies by marshmallow schemas whose fields report problems in the words of the API.

Each schema is made once. `load` converts the errors that marshmallow collects to problems of the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, missing

from app.errors import Problem, first_problems
from app.parsing.bodies import not_a_mapping, not_iterable
from app.parsing.ids import principal_problem
from app.parsing.patches import unknown_permission
from backends import Json

NOT_A_CONTAINER = Problem("body", "", "Should be a JSON object or an array")
BATCH_METHODS = ("GET", "HEAD", "DELETE", "TRACE", "POST", "PUT", "PATCH")


class InvalidField(ValidationError):
    """A ValidationError whose messages are problems."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__([])
        self.messages = {"": list(problems)}


class JsonObject(fields.Field[dict[str, Json]]):
    """A JSON object; null is refused (C-ERR-20)."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:  # noqa: ARG002  # marshmallow's signature
        """Return the object as it is. Raises ValidationError."""
        if value is missing or isinstance(value, dict):
            return value
        raise InvalidField(not_a_mapping(attr or "", value))


class Permissions(fields.Field[dict[str, Json]]):
    """Permissions by name, each a list of principals; null lists stay null (C-ERR-21, C-ERR-22, C-PERM-30).

    The first unknown name is reported alone, as Kinto does.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:  # noqa: ARG002  # marshmallow's signature
        """Return the lists as they are. Raises ValidationError."""
        if value is missing:
            return value
        if not isinstance(value, dict):
            raise InvalidField(not_a_mapping(attr or "", value))
        unknown = next((name for name in value if value[name] is not None and name not in self.names), None)
        if unknown is not None:
            raise InvalidField(unknown_permission(unknown, self.names))
        problems = first_problems(
            problem for name, principals in value.items() for problem in self._problems(name, principals)
        )
        if problems:
            raise InvalidField(*problems)
        return value

    def _problems(self, name: str, principals: Json) -> Iterator[Problem]:
        if principals is None:
            return
        if not isinstance(principals, list):
            yield not_iterable(f"permissions.{name}", principals)
        else:
            for index, principal in enumerate(principals):
                problem = principal_problem(principal, f"permissions.{name}.{index}")
                if problem:
                    yield problem


class ClosedSchema(Schema):
    """An object with declared members only. Unknown members are reported together, and no other problem then."""

    class Meta:
        """Let `load` report unknown members: marshmallow would report each of them, beside other problems."""

        unknown = INCLUDE


class WriteBody(ClosedSchema):
    """The body of a write: `data` and `permissions`, both optional, and nothing else (C-ERR-19)."""

    data = JsonObject()


@cache
def write_schema(names: tuple[str, ...]) -> WriteBody:
    """Return the schema of writes on a kind with these permissions."""
    schema_class = type("WriteBody", (WriteBody,), {"permissions": Permissions(names)})
    schema: WriteBody = schema_class()
    return schema


def unknown_members_problem(name: str, unknown: Mapping[str, Json]) -> Problem:
    """Return the problem of an object with unknown members."""
    return Problem("body", name, f'Unrecognized keys in mapping: "{dict(unknown)}"')


def scalar_problems(body: Json) -> tuple[Problem, ...]:
    """Return the problems of a body that is neither object nor array (C-ERR-18)."""
    return () if isinstance(body, dict | list) else (NOT_A_CONTAINER, Problem("body", "", "Required"))


def load(schema: ClosedSchema, body: Json) -> tuple[dict[str, Json], tuple[Problem, ...]]:
    """Return the validated members of a body, and its problems; one of the two is empty."""
    problems = scalar_problems(body)
    if problems:
        return {}, problems
    if isinstance(body, list):
        return {}, (not_a_mapping("", body),)
    unknown = {name: value for name, value in body.items() if name not in schema.fields}
    if unknown:
        return {}, (unknown_members_problem("", unknown),)
    try:
        members: dict[str, Json] = schema.load(body)
    except ValidationError as error:
        return {}, tuple(_problems(error.messages))
    return members, ()


def _problems(messages: Any) -> Iterator[Problem]:
    """Yield the problems in the errors that marshmallow collected by field."""
    if isinstance(messages, Problem):
        yield messages
    elif isinstance(messages, Mapping):
        for inner in messages.values():
            yield from _problems(inner)
    elif isinstance(messages, list):
        for inner in messages:
            yield from _problems(inner)
