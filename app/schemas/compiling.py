"""Compile JSON Schemas, each once, and keep the latest: bounded in bytes, and never while a list is locked.

A schema comes from a user and is known only when the collection has been read, which a write does under locks. So
`compiled` hands out what is there and raises `NotCompiled` otherwise;
`app.transactions.write_transaction.run_with_retries` ends the transaction, compiles, and starts it again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Never

import jsonschema_rs
from referencing import Specification
from referencing.jsonschema import DRAFT4, DRAFT6, DRAFT7, DRAFT201909, DRAFT202012

from app.errors import Problem
from app.parsing.bodies import not_a_mapping
from app.schemas import effort as schema_effort
from app.schemas import patterns as schema_patterns
from app.schemas import references as schema_references
from app.schemas.references import PATTERN, REGISTRY, UNUSABLE
from backends import Json
from backends.codec import loads

Data = dict[str, Json]

MAX_SCHEMA_BYTES: Final = 32 * 2**20
"""How much memory one compiled schema may take, by an estimate that is rather too high."""

MAX_KEPT_BYTES: Final = 64 * 2**20
"""How much memory all that are kept may take in each process."""

MAX_MATCHING: Final = 200_000_000_000
"""How many bytes of patterns may meet a character of a document: seconds at the very worst, usually nothing."""

TOO_COMPLEX: Final = Problem("body", "schema", "The schema is too complex")
TOO_LARGE: Final = Problem("body", "schema", "The schema is too large")

_SUBSCHEMA_BYTES: Final = 2_048
_CHARACTER_BYTES: Final = 24
_COPIES: Final = 2
"""How many automatons there are of a pattern: from its beginning and from its end."""

_BACKTRACKING_BYTES: Final = 400
_NEVER_SHOWN: Final = frozenset({"last_modified", "schema"})


@dataclass(frozen=True, slots=True)
class _Draft:
    validator: type[jsonschema_rs.Validator]
    specification: Specification[Json]
    siblings: bool = False


_DRAFT_7: Final = _Draft(jsonschema_rs.Draft7Validator, DRAFT7)
_DRAFTS: Final[Mapping[str, _Draft]] = {
    # There is no validator for draft 3: draft 4 is the nearest that reads what the check on storing lets through.
    "json-schema.org/draft-03/schema": _Draft(jsonschema_rs.Draft4Validator, DRAFT4),
    "json-schema.org/draft-04/schema": _Draft(jsonschema_rs.Draft4Validator, DRAFT4),
    "json-schema.org/draft-06/schema": _Draft(jsonschema_rs.Draft6Validator, DRAFT6),
    "json-schema.org/draft-07/schema": _DRAFT_7,
    "json-schema.org/draft/2019-09/schema": _Draft(jsonschema_rs.Draft201909Validator, DRAFT201909, siblings=True),
    "json-schema.org/draft/2020-12/schema": _Draft(jsonschema_rs.Draft202012Validator, DRAFT202012, siblings=True),
}


class NotCompiled(Exception):
    """A schema is needed that is not compiled: `compile_schema` its text without locks, and try again."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Refused(Exception):
    """A validator gave up, for the reason that this bears."""


class _Run(threading.local):
    """What the keywords of this project may still do for the document that this thread validates."""

    matching: int = 0
    reason: str | None = None

    def refuse(self, reason: str) -> ValueError:
        self.reason = self.reason or reason
        return ValueError(reason)


_run = _Run()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema ready for use: `hidden` members of a document are not shown to it, nor does it require them.

    `schema` is as it was sent, for the words of problems. `unusable` is the first pattern that is in no dialect or too
    large. `size_bytes` is an estimate of the memory that it takes.
    """

    schema: Data
    hidden: frozenset[str]
    validator: jsonschema_rs.Validator
    efforts: tuple[int, ...]
    alternatives: bool
    names: int
    unusable: str | None
    size_bytes: int

    def effort(self, document: Json) -> int:
        """Bound how many times a subschema is applied to a document."""
        last = len(self.efforts) - 1
        return sum(self.efforts[min(depth, last)] * size for depth, size in enumerate(schema_effort.measure(document)))

    def accepts(self, document: Json) -> bool:
        """Return whether a document is valid. Raises Refused where that cannot be said."""
        _run.matching, _run.reason = MAX_MATCHING, None
        if self.names and self.names * schema_effort.measure_names(document) > MAX_MATCHING:
            raise Refused("The schema is too complex for this object")
        valid = self.validator.is_valid(document)
        if _run.reason:
            raise Refused(_run.reason)
        return valid

    def failure(self, document: Json) -> jsonschema_rs.ValidationError | None:
        """Return why a document is not valid. Raises Refused as `accepts` does."""
        _run.matching, _run.reason = MAX_MATCHING, None
        try:
            self.validator.validate(document)
        except jsonschema_rs.ValidationError as error:
            if _run.reason:
                raise Refused(_run.reason) from error
            return error
        return None


class Kept:
    """The latest compiled schemas by their text, as many as `MAX_KEPT_BYTES` hold."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[Compiled | Problem, int]] = OrderedDict()
        self._bytes = 0

    def get(self, text: str) -> Compiled | Problem | None:
        """Return what there is of a schema, None when it has not been compiled or was driven out."""
        with self._lock:
            if text not in self._entries:
                return None
            self._entries.move_to_end(text)
            return self._entries[text][0]

    def put(self, text: str, entry: Compiled | Problem) -> None:
        """Keep a schema, and drop those that were not used for longest where there is too much."""
        size = entry.size_bytes if isinstance(entry, Compiled) else _CHARACTER_BYTES * len(text)
        with self._lock:
            self._bytes += size - self._entries.pop(text, (None, 0))[1]
            self._entries[text] = (entry, size)
            while self._bytes > MAX_KEPT_BYTES and len(self._entries) > 1:
                self._bytes -= self._entries.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """Return how much memory all entries take, by the estimate."""
        return self._bytes


kept = Kept()


def compiled(text: str) -> Compiled | Problem:
    """Return a compiled schema, or why it cannot be used. Raises NotCompiled when it has not been compiled."""
    entry = kept.get(text)
    if entry is None:
        raise NotCompiled(text)
    return entry


def compile_schema(text: str) -> Compiled | Problem:
    """Compile a schema and keep it: whoever holds a lock must not call this."""
    entry = kept.get(text)
    if entry is None:
        entry = _compile(text)
        kept.put(text, entry)
    return entry


def _compile(text: str) -> Compiled | Problem:
    """Make a schema ready for use, or say why it is none in its own draft (C-SCH-11, C-SCH-12, C-SCH-15)."""
    original, schema = loads(text), loads(text)
    if not isinstance(schema, dict):
        return not_a_mapping("schema", schema)
    declared = schema.get("properties")
    hidden = _NEVER_SHOWN if isinstance(declared, dict) and "id" in declared else _NEVER_SHOWN | {"id"}
    schema, original = _without_required(schema, hidden), _without_required(original, hidden)
    draft = _draft(schema)
    try:
        _METASCHEMAS[draft.validator].validate(schema)
    except jsonschema_rs.ValidationError as error:
        return Problem("body", "schema", str(error).partition("\n")[0])
    links = schema_references.follow(schema, draft.specification)
    if links is None:
        return TOO_LARGE
    efforts = schema_effort.efforts(schema, links.targets)
    if efforts[0] >= schema_effort.ENDLESS:
        return TOO_COMPLEX
    schema_references.rewrite(schema, links, siblings=draft.siblings)
    patterns = _Patterns(_CHARACTER_BYTES * len(text) + _SUBSCHEMA_BYTES * len(links.subschemas))
    names = sum(patterns.rewrite(subschema) for subschema in links.own)
    if patterns.size_bytes > MAX_SCHEMA_BYTES:
        return TOO_LARGE
    try:
        validator = draft.validator(
            schema,
            validate_formats=False,
            retriever=_refuse_to_fetch,
            registry=_REGISTRY,
            pattern_options=schema_patterns.options(),
            keywords=patterns.keywords(),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        return Problem("body", "schema", str(error).partition("\n")[0])
    alternatives = '"anyOf"' in text or '"oneOf"' in text
    return Compiled(original, hidden, validator, efforts, alternatives, names, patterns.unusable, patterns.size_bytes)


class _Patterns:
    """The patterns of a schema: compiled within a bound of all together, and written as keywords of this project."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.unusable: str | None = None
        self._read: dict[str, schema_patterns.Pattern] = {}

    def rewrite(self, schema: Json) -> int:
        """Write the patterns of a subschema, in place; return how costly those of names are for each character."""
        pattern, named = schema.get("pattern"), schema.get("patternProperties")
        if isinstance(pattern, str):
            del schema["pattern"]
            schema |= {UNUSABLE: _unusable(pattern)} if self._pattern(pattern).text is None else {PATTERN: pattern}
        if not isinstance(named, dict):
            return 0
        by_text: dict[str, Json] = {}
        for name in named:
            text = self._pattern(name).text
            if text is None:
                schema[UNUSABLE] = _unusable(name)
            else:
                # Two dialects may say the same: an empty group keeps them apart.
                by_text[text + "(?:)" * (text in by_text)] = named[name]
        schema["patternProperties"] = by_text
        return sum(_cost(self._pattern(name)) for name in named)

    def _pattern(self, pattern: str) -> schema_patterns.Pattern:
        if pattern not in self._read:
            self.size_bytes += _SUBSCHEMA_BYTES
            left = MAX_SCHEMA_BYTES - self.size_bytes - schema_patterns.DFA_SIZE_BYTES
            found = self._read[pattern] = schema_patterns.read(pattern, left // _COPIES)
            self.size_bytes += _COPIES * found.size_bytes + min(schema_patterns.DFA_SIZE_BYTES, 4 * found.size_bytes)
            if found.text is None and self.unusable is None:
                self.unusable = pattern
        return self._read[pattern]

    def keywords(self) -> dict[str, Any]:
        """Return the keywords that stand for patterns and for what cannot be used; and those that assert nothing.

        Typed loosely: the protocol that these implement exists for type checkers only.
        """
        matchers = {
            pattern: (_cost(found), _matcher(found.text))
            for pattern, found in self._read.items()
            if found.text is not None
        }

        class Matching(_Keyword):
            """The keyword `pattern`, which takes from what the run may match."""

            def __init__(self, parent_schema: Data, value: str, schema_path: list[str | int]) -> None:
                self.cost, self.matcher = matchers[value]

            def validate(self, instance: Json) -> None:
                """Raise ValueError when a text does not match."""
                if not isinstance(instance, str):
                    return
                _run.matching -= self.cost * len(instance)
                if _run.matching < 0:
                    raise _run.refuse("The schema is too complex for this object")
                if not self.matcher.is_valid(instance):
                    raise ValueError("does not match")

        return {
            PATTERN: Matching,
            UNUSABLE: _Unusable,
            "contentMediaType": _Annotation,
            "contentEncoding": _Annotation,
        }


class _Keyword:
    """A keyword of which all that is known is its value."""

    def __init__(self, parent_schema: Data, value: Json, schema_path: list[str | int]) -> None:
        self.value = value

    def validate(self, instance: Json) -> None:
        """Accept any instance."""


class _Annotation(_Keyword):
    """A keyword that says something and asserts nothing: drafts 6 and 7 leave `content...` open (as C-SCH-14)."""


class _Unusable(_Keyword):
    """A keyword that no object can be held against: a reference to nowhere, a pattern of no dialect."""

    def validate(self, instance: Json) -> None:
        """Refuse any instance."""
        raise _run.refuse(self.value)


def _unusable(pattern: str) -> str:
    return f"The pattern '{pattern}' cannot be used"


def _matcher(text: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft7Validator({"pattern": text}, pattern_options=schema_patterns.options())


def _cost(pattern: schema_patterns.Pattern) -> int:
    if pattern.linear:
        return pattern.size_bytes
    return schema_patterns.BACKTRACK_LIMIT * max(_BACKTRACKING_BYTES, pattern.size_bytes // 160)


def _refuse_to_fetch(uri: str) -> Never:
    """Keep the validator from reading files and URLs (C-SCH-18): without a retriever it does both."""
    raise LookupError(f"{uri} is not part of the schema")


_REGISTRY: Final = jsonschema_rs.Registry(
    [(uri, REGISTRY.contents(uri)) for uri in REGISTRY], retriever=_refuse_to_fetch
)
_METASCHEMAS: Final = {
    draft.validator: draft.validator(
        {"$ref": f"{scheme}{place}"}, retriever=_refuse_to_fetch, registry=_REGISTRY, validate_formats=False
    )
    for place, draft in _DRAFTS.items()
    for scheme in ("https://" if draft.siblings else "http://",)
    if "draft-03" not in place
}


def _draft(schema: Data) -> _Draft:
    """Choose by `$schema`; Draft 7 when it is absent or unknown, as that is what schemas are checked by on storing."""
    dialect = str(schema.get("$schema", "")).strip().removeprefix("http://").removeprefix("https://").rstrip("#")
    return _DRAFTS.get(dialect, _DRAFT_7)


def _without_required(schema: Data, hidden: frozenset[str]) -> Data:
    """Drop from `required` what is not shown (C-SCH-6); draft 4 has no empty `required`."""
    required = schema.get("required")
    if not isinstance(required, list):
        return schema
    kept = [name for name in required if not (isinstance(name, str) and name in hidden)]
    if kept == required:
        return schema
    others = {keyword: value for keyword, value in schema.items() if keyword != "required"}
    return others | {"required": kept} if kept else others


METASCHEMA: Final = _METASCHEMAS[_DRAFT_7.validator]
"""What every schema is checked by when it is stored."""
