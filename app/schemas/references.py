"""Resolve the references of a JSON Schema, and rewrite them so that a validator resolves them in the same way.

References are resolved as in Kinto, by the library `referencing`: in any spelling that generators write, with bases
that subschemas change, and into the metaschemas of all drafts. For the validator they are rewritten as pointers from
the root. The keyword `UNUSABLE` replaces a reference to nowhere; it fails only for objects that reach it.
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
"""The keyword that abandons the validation of any value; the keyword's own value is the reason."""

PATTERN: Final = "kinto:pattern"
"""The keyword that replaces `pattern` in a compiled schema."""

MAX_SUBSCHEMAS: Final = 10_000

_REFERENCES: Final = ("$ref", "$recursiveRef", "$dynamicRef")
_IDENTIFIERS: Final = ("$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor")
_CONTAINERS: Final = ("definitions", "$defs")
_LEGAL: Final = "%#/:?@!$&'()*+,;=-._~"


def _as_draft_4(schema: Json) -> Json:
    """Translate the metaschema of draft 3, or a subschema of it, into draft 4."""
    result = {
        **schema,
        "properties": {name: _as_draft_4(inner) for name, inner in schema.get("properties", {}).items()},
    }
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            result[keyword] = _as_draft_4(schema[keyword])
    if isinstance(schema.get("dependencies"), dict):
        result["dependencies"] = {name: [dependency] for name, dependency in schema["dependencies"].items()}
    types = result.pop("type", "any")
    if isinstance(types, list):
        result["anyOf"] = [{"type": kind} if isinstance(kind, str) else kind for kind in types]
    elif types != "any":
        result["type"] = types
    return result


_DRAFT_3: Final = "http://json-schema.org/draft-03/schema"

# No validator supports draft 3.
REGISTRY: Final[Registry[Json]] = jsonschema_specifications.REGISTRY.with_resource(
    _DRAFT_3,
    DRAFT4.create_resource(
        _as_draft_4(jsonschema_specifications.REGISTRY.contents(_DRAFT_3))
        | {"$schema": "http://json-schema.org/draft-04/schema#"}
    ),
).crawl()
"""The metaschemas of all drafts by their URIs."""


@dataclass(slots=True)
class Links:
    """The subschemas of a schema, the schema itself first, and the targets of their references, by identity.

    Subschemas of metaschemas to which the schema refers are included, but are not in `own`. `parents` has for each
    list and mapping in the document its container and its key or index in there. `nowhere` has the references that
    cannot be resolved: subschema, keyword and reference.
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


def follow_references(root: Json, specification: Specification[Json]) -> Links | None:
    """Return the subschemas of a valid schema and the targets of their references, None if there are too many."""
    _drop_invalid_identifiers(root, specification)
    resource = specification.create_resource(root)
    links, visited = Links(_parents(root)), {id(root)}
    queue = [(root, REGISTRY.resolver_with_root(resource), specification)]
    for schema, resolver, draft in queue:
        if len(visited) > MAX_SUBSCHEMAS:
            return None
        links.subschemas.append(schema)
        for keyword in (PATTERN, UNUSABLE):
            schema.pop(keyword, None)
        subschemas = [
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
            subschemas.append((resolved.contents, resolved.resolver, _draft_of(resolved.contents, draft)))
        for item in subschemas:
            if isinstance(item[0], dict) and id(item[0]) not in visited:
                visited.add(id(item[0]))
                queue.append(item)
    _follow_dynamic(links)
    return links


def rewrite_references(links: Links, *, siblings: bool) -> None:
    """Rewrite the references of a schema in place as pointers from its root, and remove the identifiers.

    With *siblings* other keywords beside `$ref` apply, as since draft 2019-09.
    """
    own = links.own
    dynamic = any(keyword in schema for schema in own for keyword in ("$recursiveRef", "$dynamicRef"))
    for schema in own:
        if dynamic:
            # The targets of dynamic references depend on identifiers, so all of those are kept, spelled as URIs.
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


def _replace(schema: Json, keyword: str, replacement: Json, *, siblings: bool) -> None:
    if siblings:
        del schema[keyword]
    else:
        for name in [name for name in schema if name not in _CONTAINERS]:
            del schema[name]
    schema.update(replacement)


def _pointer(target: Json, parents: dict[int, tuple[Json, str]]) -> str:
    steps: list[str] = []
    while id(target) in parents:
        target, step = parents[id(target)]
        steps.append(quote(step.replace("~", "~0").replace("/", "~1"), safe=""))
    return "#" + "".join(f"/{step}" for step in reversed(steps))


def _parents(root: Json) -> dict[int, tuple[Json, str]]:
    """Return container and key or index of each list and mapping in a document, by identity."""
    parents: dict[int, tuple[Json, str]] = {}
    queue = [root]
    for container in queue:
        for step, member in container.items() if isinstance(container, dict) else enumerate(container):
            if isinstance(member, dict | list):
                parents[id(member)] = (container, str(step))
                queue.append(member)
    return parents


def _drop_invalid_identifiers(root: Json, specification: Specification[Json]) -> None:
    queue = [root]
    for schema in queue:
        for name in ("$id", "id"):
            if isinstance(schema.get(name), str) and not _is_reference(schema[name]):
                del schema[name]
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
    """Enter all possible targets of dynamic references: every subschema with the anchor."""
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
