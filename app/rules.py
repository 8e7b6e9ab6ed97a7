"""What the settings say of deciding."""

from __future__ import annotations

from dataclasses import dataclass

from app.permissions import Configured


@dataclass(frozen=True, slots=True)
class Rules:
    """Who is granted what by settings, whether writers are entered, whether schemas apply."""

    configured: Configured
    explicit_permissions: bool = True
    schema_validation: bool = False
