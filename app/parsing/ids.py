"""Generate and validate ids: the generators that settings name, and the maximum lengths of ids and principals."""

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
    """The interface of id generators: generate and validate the ids of a kind (C-OBJ-7)."""

    regexp: str

    def match(self, object_id: Json, /) -> bool:
        """Return whether a value is a valid id: a string that matches in full, without a trailing newline (PG-D7)."""
        ...

    def __call__(self) -> str:
        """Generate a unique id."""
        ...


class NameGenerator:
    """Generate the ids of buckets, collections and groups: 8 characters (C-OBJ-6); accept any name (C-OBJ-5)."""

    regexp = r"^[a-zA-Z0-9][a-zA-Z0-9_-]*$"
    _pattern: ClassVar[re.Pattern[str]] = re.compile(regexp)

    def match(self, object_id: Json) -> bool:
        """Return whether a value is a name of at most 255 characters."""
        return (
            isinstance(object_id, str)
            and len(object_id) <= MAX_ID_CHARACTERS
            and self._pattern.fullmatch(object_id) is not None
        )

    def __call__(self) -> str:
        """Generate a name: a letter or digit, then seven letters, digits, `_` or `-`."""
        return secrets.choice(_FIRST) + "".join(secrets.choice(_OTHERS) for _ in range(7))


class RelaxedUUID(NameGenerator):
    """Generate the ids of records: UUIDs of version 4 (C-OBJ-6); accept any name."""

    def __call__(self) -> str:
        """Generate a UUID of version 4 in lower case with hyphens."""
        return str(uuid.uuid4())


class UUID4(RelaxedUUID):
    """Generate UUIDs of version 4; accept UUIDs only, of any version, in lower case."""

    regexp = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
    _pattern = re.compile(regexp)


class ForeignGenerator:
    """A third-party generator with `regexp`, `match(id)` and `__call__()`; the limits of every id apply to it too."""

    def __init__(self, generator: Generator) -> None:
        self.regexp = generator.regexp
        self._generator = generator

    def match(self, object_id: Json) -> bool:
        """Return whether the generator accepts an id that can be part of a URI."""
        if not isinstance(object_id, str) or not 0 < len(object_id) <= MAX_ID_CHARACTERS:
            return False
        return not set("/\n\0") & set(object_id) and bool(self._generator.match(object_id))

    def __call__(self) -> str:
        """Generate an id."""
        return self._generator()


BUILT_IN: Final[dict[str, Callable[[], Generator]]] = {
    "kinto.core.storage.generators.UUID4": UUID4,
    "cliquet.storage.generators.UUID4": UUID4,
    "kinto.views.NameGenerator": NameGenerator,
    "kinto.views.RelaxedUUID": RelaxedUUID,
}
"""Generators by the names in settings of Kinto, which need not be installed (operations contract, 1.9)."""


def load_generator(name: str) -> Generator:
    """Return a built-in generator by its name, or an instance of the class at a dotted path (O-SET-37).

    Raises ValueError with the reason; the caller prefixes the name of the setting.
    """
    built_in = BUILT_IN.get(name)
    generator = built_in() if built_in is not None else ForeignGenerator(_import(name))
    if not generator.match(generator()):
        raise ValueError(_MISMATCH)
    return generator


def limit_ids(generator: Generator) -> Generator:
    """Return a generator that obeys the limits of every id: a third-party one is wrapped.

    Raises ValueError for a value that is none.
    """
    if isinstance(generator, NameGenerator | ForeignGenerator):
        return generator
    _expect_generator(generator)
    return ForeignGenerator(generator)


def _expect_generator(generator: object) -> None:
    if not all(hasattr(generator, member) for member in ("regexp", "match", "__call__")):
        raise ValueError(f"{generator!r} is no id generator: it needs regexp, match(id) and __call__()")


def principal_problem(principal: Json, name: str) -> Problem | None:
    """Return the problem of an invalid principal (C-ERR-22, C-PERM-30, maximum length), else None."""
    if not principal:
        return Problem("body", name, "Required")
    if not isinstance(principal, str):
        return Problem("body", name, f"{principal} is not a string: {{'': ''}}")
    if len(principal.encode()) > MAX_PRINCIPAL_BYTES:
        return Problem("body", name, f"Longer than {MAX_PRINCIPAL_BYTES} bytes")
    return None


def may_be_user_id(user_id: str) -> bool:
    """Return whether a user can have an id: a valid principal that is neither a group nor one of the service's own."""
    is_short = 0 < len(user_id.encode(errors="replace")) <= MAX_PRINCIPAL_BYTES
    return is_short and "\0" not in user_id and not user_id.startswith(("/", "system."))


def _import(name: str) -> Generator:
    module, _, attribute = name.rpartition(".")
    try:
        generator: Generator = getattr(importlib.import_module(module), attribute)(config=None)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"cannot load the id generator {name!r}: {error}") from error
    _expect_generator(generator)
    return generator
