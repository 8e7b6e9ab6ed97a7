"""The kinds of objects: their URLs, their permissions, and the hooks by which a kind changes its objects' data.

A kind is declared once; routes, rules, settings and the OpenAPI document are derived from it. A plugin adds a kind in
the same way (`Service.add_kind`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from app.errors import ApiError, Problem
from app.identity import Identity
from app.parsing.ids import Generator, limit_ids
from app.schemas.attributes import validate_data
from app.slow_results import SlowResults
from backends import Json
from backends.storage import derived_lists, is_derived

LIST_METHODS = ("GET", "HEAD", "POST", "DELETE")
OBJECT_METHODS = ("GET", "HEAD", "PUT", "PATCH", "DELETE")

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+")

Data = dict[str, Json]


class KindHooks:
    """The hooks of a kind with their defaults; a plugin overrides those in which its kind differs."""

    def prepare_attributes(
        self, kind: str, data: Data | None, old: Data | None, prefix: str
    ) -> tuple[Data, list[Problem]]:
        """Check and complete the attributes of an object that is created or, from *old*, changed.

        *data* is None when the client sent none: the old attributes stay (C-OBJ-16, C-OBJ-17). *prefix* begins the
        names of problems: `data.`, or nothing for the result of a patch.
        """
        if data is None:
            return dict(old or {}), []
        return validate_data(kind, data, prefix=prefix)

    def attributes_to_store(
        self,
        uri: str,  # noqa: ARG002  # a hook
        attributes: Data,
        slow_results: SlowResults,  # noqa: ARG002  # a hook
    ) -> Data:
        """Return the attributes of *uri* to store; computations that take long come from *slow_results*."""
        return attributes

    def writer(self, identity: Identity, object_id: str) -> str:  # noqa: ARG002  # a hook
        """Return the principal that gets `write` on the object that *identity* writes (C-OBJ-70)."""
        return identity.principal

    def write_error(
        self,
        identity: Identity,  # noqa: ARG002  # a hook
        object_id: str | None,  # noqa: ARG002  # a hook
        *,
        may_write_all: bool,  # noqa: ARG002  # a hook
    ) -> ApiError | None:
        """Return the error of an identity that may not write the object whatever is granted, else None.

        *object_id* is None for a generated id. *may_write_all* is whether the settings let the identity write.
        """
        return None

    def own_object_id(self, identity: Identity) -> str | None:  # noqa: ARG002  # a hook
        """Return the id of the only object of the list that *identity* may use, None if there is no such limit.

        Where there is a limit, anonymous identities are asked to authenticate.
        """
        return None

    def rename_references(self, data: Data, former: str, bucket: str) -> Data:  # noqa: ARG002  # a hook
        """Return the data of an object with references to its bucket, whose URI was *former* and is *bucket* now.

        `kinto load --into` calls it with documents as they are stored.
        """
        return data

    def mask_secrets(self, data: Data) -> Data:
        """Return the attributes as a patch may read them; the values of private fields that stay are replaced later."""
        return data


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of objects. `parent` is the name of the kind that its lists are in, `private` names hidden fields.

    With `must_have_parent` a missing parent is reported before any other error (C-ERR-40). With `membership` the users
    in the attribute `members` get the object's URI as a principal (C-PERM-6). The attribute `indexes` declares those of
    the lists in the object that `indexed_lists` names. `derived` lists get objects by `app.events.Context.append`; they
    are in objects at the top, and are locked after all others.

    `fields` are those by which a list can be filtered and sorted, None for all; `target.` stands for all fields below
    `target`. A number as the value of a filter on one of `text_fields` is text.
    """

    name: str
    plural: str
    permissions: tuple[str, ...]
    generator: Generator
    parent: str | None = None
    list_methods: tuple[str, ...] = LIST_METHODS
    object_methods: tuple[str, ...] = OBJECT_METHODS
    private: tuple[str, ...] = ()
    must_have_parent: bool = False
    membership: bool = False
    indexed_lists: tuple[str, ...] = ()
    derived: bool = False
    fields: frozenset[str] | None = None
    text_fields: frozenset[str] = frozenset()
    hooks: KindHooks = field(default_factory=KindHooks)

    def __post_init__(self) -> None:
        """Raise ValueError for what no URL, setting or permission can have, TypeError for wrong types."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"The name {self.name!r} of a kind has other characters than a-z, 0-9 and _.")
        if not _SEGMENT.fullmatch(self.plural):
            raise ValueError(f"The URL {self.plural!r} of the kind {self.name!r} is no single segment of a path.")
        several = (self.permissions, self.private, self.indexed_lists, self.fields, self.text_fields)
        for names in (*several, self.list_methods, self.object_methods):
            if isinstance(names, str):
                raise TypeError(f"The kind {self.name!r} has the text {names!r} where a tuple of names is expected.")
        if not isinstance(self.hooks, KindHooks):
            raise TypeError(f"The hooks of the kind {self.name!r} are no instance of KindHooks.")
        unknown = {*self.list_methods}.difference(LIST_METHODS) | {*self.object_methods}.difference(OBJECT_METHODS)
        if unknown:
            raise ValueError(f"The kind {self.name!r} has methods that do not exist: {', '.join(sorted(unknown))}.")

    @property
    def creation(self) -> str:
        """Return the name of the permission on the parent that allows creating objects of this kind."""
        return f"{self.name}:create"

    @property
    def can_be_created(self) -> bool:
        """Return whether clients can create objects of this kind."""
        return "POST" in self.list_methods or "PUT" in self.object_methods


@dataclass(frozen=True, slots=True)
class Parent:
    """The object that a list is in."""

    kind: Kind
    id: str
    uri: str


@dataclass(frozen=True, slots=True)
class Route:
    """The meaning of a path: a list of a kind, or an object in it.

    `uri` is the path, `list` the URI of the list, `id` the id of the object ("" for a list), `bucket` the bucket under
    which the list is stored (`backends.storage.bucket_of`). `ancestors` are the URIs of the enclosing objects, from the
    outermost one. `kinds` and `ids` are parallel; a list has one id less.
    """

    kind: Kind
    uri: str
    list: str
    id: str
    bucket: str
    on_list: bool
    parent: Parent | None
    ancestors: tuple[str, ...]
    kinds: tuple[Kind, ...]
    ids: tuple[str, ...]

    @property
    def may_have_indexes(self) -> bool:
        """Return whether the list may have indexes: declared on its parent, or the automatic ones of a derived list."""
        return self.kind.derived or (self.parent is not None and self.kind.plural in self.parent.kind.indexed_lists)

    def matchdict(self) -> dict[str, str]:
        """Return the ids of the path by name (`bucket_id`, ...)."""
        return {f"{kind.name}_id": object_id for kind, object_id in zip(self.kinds, self.ids, strict=False)}

    def ancestor_with_invalid_id(self) -> tuple[Kind, str] | None:
        """Return kind and id of the outermost ancestor whose id is not valid (C-ERR-36)."""
        for kind, object_id in zip(self.kinds[:-1], self.ids, strict=False):
            if not kind.generator.match(object_id):
                return kind, object_id
        return None

    def is_in_wildcard(self) -> bool:
        """Return whether the outermost ancestor is `*`, which is no object and has no permissions."""
        return len(self.kinds) > 1 and self.ids[0] == "*"


class Kinds:
    """All kinds of one service, by name and by path.

    `derived` has the derived lists: ("buckets", "history") is the list of this name in each bucket.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, Kind] = {}
        self._children: dict[str | None, dict[str, Kind]] = {}
        self.derived: set[tuple[str, str]] = set()

    def add(self, kind: Kind) -> None:
        """Add a kind. Raises ValueError for the name or URL of another kind, an unknown parent, or invalid ids."""
        if kind.name in self._by_name:
            raise ValueError(f"The kind {kind.name!r} was already registered.")
        if kind.parent is not None and kind.parent not in self._by_name:
            raise ValueError(f"The parent {kind.parent!r} of the kind {kind.name!r} was not registered before it.")
        other = self._children.get(kind.parent, {}).get(kind.plural)
        if other:
            raise ValueError(f"The URL {kind.plural!r} of the kind {kind.name!r} is that of the kind {other.name!r}.")
        with_valid_ids = limit_ids(kind.generator)
        if not with_valid_ids.match(with_valid_ids()):
            raise ValueError(f"The id generator of the kind {kind.name!r} generates ids that it does not accept.")
        kind = replace(kind, generator=with_valid_ids)
        if kind.private and kind.plural in (self._by_name[kind.parent].indexed_lists if kind.parent else ()):
            raise ValueError(f"The lists of {kind.name!r} have private fields: their parents cannot declare indexes.")
        if kind.derived:
            parent = self._by_name.get(kind.parent or "")
            if parent is None or parent.parent is not None or kind.plural in parent.indexed_lists:
                raise ValueError(f"The lists of {kind.name!r} cannot be derived: they are not in an object at the top.")
            self.derived.add((parent.plural, kind.plural))
        self._by_name[kind.name] = kind
        self._children.setdefault(kind.parent, {})[kind.plural] = kind
        if kind.parent is not None and kind.can_be_created:
            self._let_grant(self._by_name[kind.parent], kind.creation)

    def _let_grant(self, kind: Kind, permission: str) -> None:
        """Add a permission to those that objects of a kind may have."""
        if permission not in kind.permissions:
            kind = replace(kind, permissions=(*kind.permissions, permission))
            self._by_name[kind.name] = self._children[kind.parent][kind.plural] = kind

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Kind:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def children(self, kind: Kind) -> Sequence[Kind]:
        """Return the kinds whose lists are in objects of *kind*."""
        return tuple(self._children.get(kind.name, {}).values())

    def lists_in(self, kind: Kind, uri: str) -> list[str]:
        """Return the lists in the object *uri* of a kind."""
        return [f"{uri}/{plural}" for plural in self._children.get(kind.name, ())]

    def is_derived(self, list_uri: str) -> bool:
        """Return whether a list is derived."""
        return is_derived(list_uri, self.derived)

    def derived_list_uris(self, parents: Iterable[str]) -> set[str]:
        """Return the URIs of the derived lists in objects, which *parents* names by URI."""
        return {name for uri in parents for name in derived_lists(uri, self.derived)}

    def may_contain_groups(self, kind: Kind) -> bool:
        """Return whether there may be groups below objects of *kind*."""
        return any(child.membership or self.may_contain_groups(child) for child in self.children(kind))

    def at_top(self) -> Sequence[Kind]:
        """Return the kinds whose list is at the top."""
        return tuple(self._children.get(None, {}).values())

    def lineage(self, kind: Kind) -> tuple[Kind, ...]:
        """Return the kinds from the top down to *kind*."""
        ancestors = () if kind.parent is None else self.lineage(self._by_name[kind.parent])
        return (*ancestors, kind)

    def match(self, path: str) -> Route | None:
        """Return the route of a path without version prefix, None when the path is no list and no object."""
        segments = path.split("/")[1:]
        kinds: list[Kind] = []
        for plural in segments[::2]:
            kind = self._children.get(kinds[-1].name if kinds else None, {}).get(plural)
            if kind is None:
                return None
            kinds.append(kind)
        ids = tuple(segments[1::2])
        if not kinds or "" in ids:
            return None
        on_list = len(ids) < len(kinds)
        ancestors = tuple(["/" + "/".join(segments[:end]) for end in range(2, 2 * len(kinds) - 1, 2)])
        parent = Parent(kinds[-2], ids[len(kinds) - 2], ancestors[-1]) if ancestors else None
        list_uri = f"{ancestors[-1] if ancestors else ''}/{kinds[-1].plural}"
        object_id = "" if on_list else ids[-1]
        bucket = ancestors[0] if ancestors else list_uri
        return Route(kinds[-1], path, list_uri, object_id, bucket, on_list, parent, ancestors, tuple(kinds), ids)


def rename(uri: str, former: str, bucket: str) -> str:
    """Return a URI after its bucket *former* was renamed to *bucket*: that of the bucket, or one below it."""
    return bucket + uri.removeprefix(former) if uri == former or uri.startswith(f"{former}/") else uri


def core_kinds(generator: Callable[[str], Generator]) -> Iterator[Kind]:
    """Yield the four kinds of the core contract (section 4.1); *generator* returns the id generator of a kind."""
    yield Kind("bucket", "buckets", ("read", "write", "collection:create", "group:create"), generator("bucket"))
    yield Kind(
        "collection",
        "collections",
        ("read", "write", "record:create"),
        generator("collection"),
        "bucket",
        indexed_lists=("records",),
    )
    yield Kind("group", "groups", ("read", "write"), generator("group"), "bucket", membership=True)
    yield Kind("record", "records", ("read", "write"), generator("record"), "collection", must_have_parent=True)
