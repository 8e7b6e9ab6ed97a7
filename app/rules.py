"""What the settings say of deciding."""

from __future__ import annotations

from dataclasses import dataclass

from app.kinds import Kinds
from app.permissions import Configured


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say of deciding: who is granted what, whether writers are entered, whether schemas apply."""

    kinds: Kinds
    configured: Configured
    explicit_permissions: bool = True
    schema_validation: bool = False
