"""The shapes of requests: marshmallow schemas with fields that word their problems as clients know them.

Each schema is made once. `problems` turns what marshmallow collected into the problems of the API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, missing, pre_load

from app.errors import Problem, first_problems
from app.parsing.bodies import not_a_mapping, not_iterable
from app.parsing.ids import principal_problem
from app.parsing.patches import unknown_permission
from backends import Json

NOT_A_CONTAINER = Problem("body", "", "Should be a JSON object or an array")
BATCH_METHODS = ("GET", "HEAD", "DELETE", "TRACE", "POST", "PUT", "PATCH")


class Refused(ValidationError):
    """A ValidationError whose messages are problems."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__([])
        self.messages = {"": list(problems)}


class JsonObject(fields.Field[dict[str, Json]]):
    """A JSON object; null is none (C-ERR-20)."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        """Return the object as it is. Raises ValidationError."""
        if value is missing or isinstance(value, dict):
            return value
        raise Refused(not_a_mapping(attr or "", value))


class Permissions(fields.Field[dict[str, Json]]):
    """Permissions by name, each a list of principals; null lists stay null (C-ERR-21, C-ERR-22, C-PERM-30).

    The first unknown name is reported alone, as Kinto does.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        """Return the lists as they are. Raises ValidationError."""
        if value is missing:
            return value
        if not isinstance(value, dict):
            raise Refused(not_a_mapping(attr or "", value))
        unknown = next((name for name, listed in value.items() if listed is not None and name not in self.names), None)
        if unknown is not None:
            raise Refused(unknown_permission(unknown, self.names))
        found = first_problems(problem for name, listed in value.items() for problem in self._problems(name, listed))
        if found:
            raise Refused(*found)
        return value

    def _problems(self, name: str, listed: Json) -> Iterator[Problem]:
        if listed is None:
            return
        if not isinstance(listed, list):
            yield not_iterable(f"permissions.{name}", listed)
        else:
            checked = (principal_problem(one, f"permissions.{name}.{index}") for index, one in enumerate(listed))
            yield from (problem for problem in checked if problem)


class Closed(Schema):
    """An object without members but the declared ones. Unknown members are reported together, and nothing else then."""

    class Meta:
        """marshmallow would report unknown members one by one, beside the others."""

        unknown = INCLUDE

    @pre_load
    def expect_known(self, body: Mapping[str, Json], **_: Any) -> Mapping[str, Json]:
        """Raise ValidationError when there are unknown members."""
        unknown = {name: value for name, value in body.items() if name not in self.fields}
        if unknown:
            raise Refused(unrecognized("", unknown))
        return body


class Envelope(Closed):
    """The body of a write: `data` and `permissions`, both optional, and nothing else (C-ERR-19)."""

    data = JsonObject()


@cache
def envelope(names: tuple[str, ...]) -> Envelope:
    """Return the schema of writes on a kind with these permissions."""
    shaped = type("Envelope", (Envelope,), {"permissions": Permissions(names)})
    schema: Envelope = shaped()
    return schema


def unrecognized(name: str, unknown: Mapping[str, Json]) -> Problem:
    """Say that there are members which nobody knows."""
    return Problem("body", name, f'Unrecognized keys in mapping: "{dict(unknown)}"')


def scalar_problems(body: Json) -> tuple[Problem, ...]:
    """Return what is wrong with a body that is neither object nor array (C-ERR-18), nothing for one that is."""
    return () if isinstance(body, dict | list) else (NOT_A_CONTAINER, Problem("body", "", "Required"))


def load(schema: Schema, body: Json) -> tuple[dict[str, Json], tuple[Problem, ...]]:
    """Return what a body says and what is wrong with it; one of them is empty."""
    scalar = scalar_problems(body)
    if scalar:
        return {}, scalar
    if isinstance(body, list):
        return {}, (not_a_mapping("", body),)
    try:
        loaded: dict[str, Json] = schema.load(body)
    except ValidationError as error:
        return {}, tuple(_problems(error.messages))
    return loaded, ()


def _problems(messages: Any) -> Iterator[Problem]:
    """Find the problems among what marshmallow collected by field."""
    if isinstance(messages, Problem):
        yield messages
    elif isinstance(messages, Mapping):
        for inner in messages.values():
            yield from _problems(inner)
    elif isinstance(messages, list):
        for inner in messages:
            yield from _problems(inner)
