"""Follow the references of a JSON Schema, and write them anew so that a validator follows the same ones.

References are found as Kinto finds them (the library `referencing`): in any spelling that generators write, with bases
that subschemas change, and into the metaschemas of all drafts. A validator gets pointers from the root instead, and in
the place of a reference that leads nowhere the keyword `UNUSABLE`, which matters to the objects alone that reach it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Final
from urllib.parse import quote, unquote, urlsplit

import jsonschema_specifications
from referencing import Registry, Specification
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT4, specification_with

from backends import Json

UNUSABLE: Final = "kinto:unusable"
"""A keyword that refuses what it applies to: its value is the reason."""

PATTERN: Final = "kinto:pattern"
"""The keyword that stands for `pattern` in a compiled schema."""

MAX_SUBSCHEMAS: Final = 10_000

_REFERENCES: Final = ("$ref", "$recursiveRef", "$dynamicRef")
_IDENTIFIERS: Final = ("$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor")
_CONTAINERS: Final = ("definitions", "$defs")
_LEGAL: Final = "%#/:?@!$&'()*+,;=-._~"


def _as_draft_4(schema: Json) -> Json:
    """Return the metaschema of draft 3, or a subschema of it, in the words of draft 4."""
    read = {**schema, "properties": {name: _as_draft_4(inner) for name, inner in schema.get("properties", {}).items()}}
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            read[keyword] = _as_draft_4(schema[keyword])
    if isinstance(schema.get("dependencies"), dict):
        read["dependencies"] = {name: [needed] for name, needed in schema["dependencies"].items()}
    types = read.pop("type", "any")
    if isinstance(types, list):
        read["anyOf"] = [{"type": each} if isinstance(each, str) else each for each in types]
    elif types != "any":
        read["type"] = types
    return read


_DRAFT_3: Final = "http://json-schema.org/draft-03/schema"

# No validator reads draft 3.
REGISTRY: Final[Registry[Json]] = jsonschema_specifications.REGISTRY.with_resource(
    _DRAFT_3,
    DRAFT4.create_resource(
        _as_draft_4(jsonschema_specifications.REGISTRY.contents(_DRAFT_3))
        | {"$schema": "http://json-schema.org/draft-04/schema#"}
    ),
).crawl()
"""The metaschemas of all drafts, as a reference finds them."""


@dataclass(slots=True)
class Links:
    """The subschemas of a schema, itself first, and those that each of them refers to, by identity.

    Subschemas of metaschemas that it refers to are among them, but not among `own`. `parents` is the list or mapping
    in which each other one of the document lies, and the step to it.
    """

    parents: dict[int, tuple[Json, str]]
    subschemas: list[Json] = field(default_factory=list)
    targets: dict[int, list[Json]] = field(default_factory=dict)
    nowhere: list[tuple[Json, str, str]] = field(default_factory=list)

    def holds(self, schema: Json) -> bool:
        """Return whether a subschema is part of the document."""
        return schema is self.subschemas[0] or id(schema) in self.parents

    @property
    def own(self) -> list[Json]:
        """Return the subschemas that are part of the document."""
        return [schema for schema in self.subschemas if self.holds(schema)]


def follow(root: Json, specification: Specification[Json]) -> Links | None:
    """Find the subschemas of a valid schema and what they refer to; None when there are too many."""
    for schema in _inner(root, specification):
        for name in ("$id", "id"):
            if isinstance(schema.get(name), str) and not _is_reference(schema[name]):
                del schema[name]
    resource = specification.create_resource(root)
    links, seen = Links(_parents(root)), {id(root)}
    queue = [(root, REGISTRY.resolver_with_root(resource), specification)]
    for schema, resolver, draft in queue:
        if len(seen) > MAX_SUBSCHEMAS:
            return None
        links.subschemas.append(schema)
        for keyword in (PATTERN, UNUSABLE):
            schema.pop(keyword, None)
        found = [
            (inner, resolver.in_subresource(draft.create_resource(inner)), draft)
            for inner in draft.subresources_of(schema)
        ]
        for keyword in _REFERENCES:
            reference = schema.get(keyword)
            if not isinstance(reference, str):
                continue
            try:
                resolved = resolver.lookup(reference)
            except (Unresolvable, ValueError, TypeError):
                links.nowhere.append((schema, keyword, reference))
                continue
            links.targets.setdefault(id(schema), []).append(resolved.contents)
            found.append((resolved.contents, resolved.resolver, _draft_of(resolved.contents, draft)))
        for item in found:
            if isinstance(item[0], dict) and id(item[0]) not in seen:
                seen.add(id(item[0]))
                queue.append(item)
    _follow_dynamic(links)
    return links


def rewrite(root: Json, links: Links, *, siblings: bool) -> None:
    """Write the references of a schema as pointers from its root, in place, and drop the identifiers.

    With *siblings* other keywords beside `$ref` apply, as since draft 2019-09.
    """
    own = links.own
    dynamic = any(keyword in schema for schema in own for keyword in ("$recursiveRef", "$dynamicRef"))
    for schema in own:
        if dynamic:
            # What these lead to depends on the identifiers on the way, so all stay: in the spelling of URIs.
            for name in (*_REFERENCES, "$id"):
                if isinstance(schema.get(name), str):
                    schema[name] = quote(schema[name], safe=_LEGAL)
            schema.pop("$schema", None)
            continue
        if id(schema) in links.targets:
            _point(schema, links.targets[id(schema)][0], links, siblings=siblings)
        for name in _IDENTIFIERS:
            if isinstance(schema.get(name), str | bool):
                del schema[name]
    for schema, keyword, reference in links.nowhere:
        if links.holds(schema):
            _replace(schema, keyword, {UNUSABLE: f"The reference '{reference}' leads nowhere"}, siblings=siblings)


def _point(schema: Json, target: Json, links: Links, *, siblings: bool) -> None:
    if not isinstance(target, dict):
        _replace(schema, "$ref", {"allOf": [*(schema.get("allOf", ()) if siblings else ()), target]}, siblings=siblings)
    elif links.holds(target):
        schema["$ref"] = _pointer(target, links.parents)
    else:
        schema["$ref"] = _metaschema_places()[id(target)]


def _replace(schema: Json, keyword: str, instead: Json, *, siblings: bool) -> None:
    if siblings:
        del schema[keyword]
    else:
        for name in [name for name in schema if name not in _CONTAINERS]:
            del schema[name]
    schema.update(instead)


def _pointer(target: Json, parents: dict[int, tuple[Json, str]]) -> str:
    steps: list[str] = []
    while id(target) in parents:
        target, step = parents[id(target)]
        steps.append(quote(step.replace("~", "~0").replace("/", "~1"), safe=""))
    return "#" + "".join(f"/{step}" for step in reversed(steps))


def _parents(root: Json) -> dict[int, tuple[Json, str]]:
    """Return in what each list and mapping of a document lies, and at which step, by identity."""
    parents: dict[int, tuple[Json, str]] = {}
    queue = [root]
    for container in queue:
        for step, member in container.items() if isinstance(container, dict) else enumerate(container):
            if isinstance(member, dict | list):
                parents[id(member)] = (container, str(step))
                queue.append(member)
    return parents


def _inner(root: Json, specification: Specification[Json]) -> Iterator[Json]:
    queue = [root]
    for schema in queue:
        yield schema
        queue.extend(inner for inner in specification.subresources_of(schema) if isinstance(inner, dict))


def _is_reference(text: str) -> bool:
    try:
        urlsplit(text)
    except ValueError:
        return False
    return True


def _draft_of(schema: Json, default: Specification[Json]) -> Specification[Json]:
    dialect = schema.get("$schema") if isinstance(schema, dict) else None
    return specification_with(dialect, default=default) if isinstance(dialect, str) else default


@cache
def _metaschema_places() -> dict[int, str]:
    """Return the URI of each list and mapping in the metaschemas, by identity."""
    places = {}
    for uri in REGISTRY:
        parents = _parents(REGISTRY.contents(uri))
        places[id(REGISTRY.contents(uri))] = uri
        containers = [member for container, _ in parents.values() for member in _members(container)]
        places |= {id(member): uri + _pointer(member, parents) for member in containers if id(member) in parents}
    return places


def _members(container: Json) -> Iterator[Json]:
    yield from container.values() if isinstance(container, dict) else container


def _follow_dynamic(links: Links) -> None:
    """Let dynamic references lead to all that they may mean: what bears the anchor, wherever it stands."""
    for schema in links.subschemas:
        if "$recursiveRef" in schema:
            links.targets.setdefault(id(schema), []).extend(
                other for other in links.subschemas if other.get("$recursiveAnchor") is True
            )
        if isinstance(schema.get("$dynamicRef"), str):
            name = unquote(schema["$dynamicRef"].partition("#")[2])
            links.targets.setdefault(id(schema), []).extend(
                other for other in links.subschemas if other.get("$dynamicAnchor") == name
            )
