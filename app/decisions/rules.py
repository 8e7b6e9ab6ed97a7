"""The settings on which decisions depend."""

from __future__ import annotations

from dataclasses import dataclass

from app.decisions.permissions import PrincipalsFor


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decisions follow.

    `principals_for` returns the principals that have a permission by settings. With `explicit_permissions` the writer
    of an object is added to its `write` permission. With `schema_validation` objects are validated by JSON Schemas.
    `timestamp_max_ahead_ms` is how far ahead of now a timestamp that a client chooses may be.
    """

    principals_for: PrincipalsFor
    explicit_permissions: bool = True
    schema_validation: bool = False
    timestamp_max_ahead_ms: int = 86_400_000
