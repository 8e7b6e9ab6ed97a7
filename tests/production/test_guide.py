"""docs/production.md as a whole: its headings, and that the service knows every setting that it shows.

The other modules of this folder run what it tells (O-DEP-17); its servers are in `tests/deploy`.
"""

from __future__ import annotations

import re

import pytest

from app.settings import load
from tests.production import guide

OF_KINTO = [
    "Running in production",
    "Install and setup PostgreSQL",
    "PostgreSQL client",
    "Run a PostgreSQL server",
    "Privileges basics",
    "Initialization",
    "Production checklist",
    "Handling CDN",
    "Monitoring",
    "Heka Logging",
    "Upgrading Kinto",
    "Using backoff",
]
"""Headings of Kinto's own guide, for those who look for them."""

HEADINGS = re.findall(r"^#+ (.+)$", guide.without_code(guide.GUIDE), re.MULTILINE)
WITH_SETTINGS = [title for title in HEADINGS if title != OF_KINTO[0] and guide.blocks_of(title, "ini")]
VALUES = {"dbuser": "me", "dbpassword": "pw", "dbname": "kinto", "dbowner": "owner"}


@pytest.mark.parametrize("title", OF_KINTO)
def test_the_guide_has_the_heading(title: str) -> None:
    assert HEADINGS.count(title) == 1


@pytest.mark.parametrize("title", WITH_SETTINGS)
def test_the_service_knows_the_settings_of(title: str) -> None:
    settings = {name: value for name, value in guide.settings(title, **VALUES).items() if name.startswith("kinto.")}
    accepted = {"kinto.http_scheme": "https", **settings}

    warnings = load({name: value.replace("%%", "%") for name, value in accepted.items()}, {}).warnings

    assert list(warnings) == []
