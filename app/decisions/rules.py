"""What the settings say of deciding."""

from __future__ import annotations

from dataclasses import dataclass

from app.decisions.permissions import Configured


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that decisions follow: who is granted what, whether writers are entered, whether schemas apply.

    `timestamp_max_ahead_ms` is how far ahead of now the timestamp that a client chooses may be.
    """

    configured: Configured
    explicit_permissions: bool = True
    schema_validation: bool = False
    timestamp_max_ahead_ms: int = 86_400_000
