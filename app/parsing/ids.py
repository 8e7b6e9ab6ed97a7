"""Make and recognise ids: the generators that settings name, and how long ids and principals may be."""

from __future__ import annotations

import importlib
import re
import secrets
import string
import uuid
from collections.abc import Callable
from typing import ClassVar, Final, Protocol

from app.errors import Problem
from backends import Json

MAX_ID_CHARACTERS: Final = 255
MAX_PRINCIPAL_BYTES: Final = 1024

_FIRST: Final = string.ascii_letters + string.digits
_OTHERS: Final = f"{_FIRST}_-"
_MISMATCH: Final = "Generated object id does comply with regexp."


class Generator(Protocol):
    """What makes the ids of a kind and says which ones the kind accepts (C-OBJ-7)."""

    regexp: str

    def match(self, id: Json) -> bool:
        """Say whether *id* can be an id: a text that matches in full, so without a line break at its end (PG-D7)."""
        ...

    def __call__(self) -> str:
        """Make an id that no other object has."""
        ...


class NameGenerator:
    """Make the ids of buckets, collections and groups: 8 characters (C-OBJ-6); accept any name (C-OBJ-5)."""

    regexp = r"^[a-zA-Z0-9][a-zA-Z0-9_-]*$"
    _pattern: ClassVar[re.Pattern[str]] = re.compile(regexp)

    def match(self, id: Json) -> bool:
        """Say whether *id* is a name of at most 255 characters."""
        return isinstance(id, str) and len(id) <= MAX_ID_CHARACTERS and self._pattern.fullmatch(id) is not None

    def __call__(self) -> str:
        """Make a name: a letter or digit, then seven of letters, digits, `_` and `-`."""
        return secrets.choice(_FIRST) + "".join(secrets.choice(_OTHERS) for _ in range(7))


class RelaxedUUID(NameGenerator):
    """Make the ids of records: UUIDs of version 4 (C-OBJ-6); accept any name."""

    def __call__(self) -> str:
        """Make a UUID of version 4 in its usual text."""
        return str(uuid.uuid4())


class UUID4(RelaxedUUID):
    """Make UUIDs of version 4 and accept UUIDs only, of any version, in lower case."""

    regexp = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
    _pattern = re.compile(regexp)


class Foreign:
    """A generator of somebody else's, `regexp`, `match(id)` and `__call__()`, held to the limits of every id."""

    def __init__(self, generator: Generator) -> None:
        self.regexp = generator.regexp
        self._generator = generator

    def match(self, id: Json) -> bool:
        """Say whether the generator accepts *id*, and a URI can hold it."""
        if not isinstance(id, str) or not 0 < len(id) <= MAX_ID_CHARACTERS:
            return False
        return not set("/\n\0") & set(id) and bool(self._generator.match(id))

    def __call__(self) -> str:
        """Make an id."""
        return self._generator()


BUILT_IN: Final[dict[str, Callable[[], Generator]]] = {
    "kinto.core.storage.generators.UUID4": UUID4,
    "cliquet.storage.generators.UUID4": UUID4,
    "kinto.views.NameGenerator": NameGenerator,
    "kinto.views.RelaxedUUID": RelaxedUUID,
}
"""The names that settings of Kinto use; they are text, Kinto need not be there (operations contract, 1.9)."""


def load(name: str) -> Generator:
    """Return the generator that a setting names: a built-in one, or the class at a dotted path (O-SET-37).

    Raises ValueError, worded for the line that refuses to start: the caller puts the setting's name before it.
    """
    built_in = BUILT_IN.get(name)
    generator = built_in() if built_in is not None else Foreign(_import(name))
    if not generator.match(generator()):
        raise ValueError(_MISMATCH)
    return generator


def principal_problem(principal: Json, name: str) -> Problem | None:
    """Return what is wrong with a principal (C-ERR-22, C-PERM-30, limit of its length), None for a good one."""
    if not principal:
        return Problem("body", name, "Required")
    if not isinstance(principal, str):
        return Problem("body", name, f"{principal} is not a string: {{'': ''}}")
    if len(principal.encode()) > MAX_PRINCIPAL_BYTES:
        return Problem("body", name, f"Longer than {MAX_PRINCIPAL_BYTES} bytes")
    return None


def _import(name: str) -> Generator:
    module, _, attribute = name.rpartition(".")
    try:
        generator: Generator = getattr(importlib.import_module(module), attribute)(config=None)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"cannot load the id generator {name!r}: {error}") from error
    if not all(hasattr(generator, member) for member in ("regexp", "match", "__call__")):
        raise ValueError(f"{name!r} is no id generator: it needs regexp, match(id) and __call__()")
    return generator
